"""One recording in, its events out: what `erc-live replay RECORDING --speed max` writes, as bytes.

The rule of this file: a function of its arguments and of the files that they name. It writes nothing, so it may run in
any process, on any machine that sees the recording, and as often as somebody likes.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from msgspec import structs

from erc_live.live.asr.transcribers import Transcriber, makeshift, open_transcriber
from erc_live.live.capture.source import check
from erc_live.live.config import Config
from erc_live.live.scoring.score_task import ScoredRecording, ScoreTask
from erc_live.live.scoring.score_work import Advance
from erc_live.live.screen.sinks import json_line
from erc_live.live.session import launch
from erc_live.live.session.analyser import Engines
from erc_live.live.session.engines import load_engines
from erc_live.live.session.in_process import InProcess
from erc_live.live.session.playback import Playback
from erc_live.live.session.spec import SessionSpec
from erc_live.live.session.weight_cache import models_folder
from erc_live.models.checkpoint import load
from erc_live.streams.messages import SessionEnd, UtteranceFeatures
from erc_live.streams.replay import Replayed, due_ns


def score_one(task: ScoreTask, models: "LoadedModels", advance: Advance) -> ScoredRecording:
    """The events of a recording. Its session has the name of the task, so the same recording gives the same bytes.

    Raises:
        MediaError, SessionError: the recording cannot be read.
        EngineError: its words cannot be recognised here.
    """
    config, notes = models.config, list[str]()
    sources = launch.permitted(launch.replay_sources(task.path, [], [], notes.append), config)
    for source in sources:
        check(source)
    transcript = launch.own_words(task.path, config)
    engines = models.engines(transcript)
    session = SessionSpec(session=task.name, config=config, sources=sources, speed=launch.FASTEST)
    core = InProcess(session, engines, models.checkpoint)
    playback = Playback(session)
    lines: list[str] = []
    end: SessionEnd | None = None
    for message in core.run(_counted(playback, advance)):
        if not isinstance(message, UtteranceFeatures):
            lines.append(json_line(message))
        end = message if isinstance(message, SessionEnd) else end
    assert end is not None, "a session ends with its end"
    everything = dict.fromkeys((engines.warning, *notes, *playback.notes, core.note))
    return ScoredRecording(
        lines="".join(lines).encode(),
        utterances=end.utterances,
        media_s=end.t_ns / 1e9,
        notes=tuple(filter(None, everything)),
        damage=playback.damage,
    )


def _counted(messages: Iterable[Replayed], advance: Advance) -> Iterator[Replayed]:
    for message in messages:
        yield message
        advance(due_ns(message) / 1e9)


class LoadedModels:
    """The weights of a configuration. What makes the words depends on the recording, and is opened when it is asked
    for: a recorded session brings its own.
    """

    def __init__(self, config: Config) -> None:
        """Raises EngineError or WeightsError."""
        self.config = config
        self.checkpoint = load(config.tracker.weights)
        self._choice = structs.replace(config.transcriber, threads=config.transcriber.threads or 1)
        self._folder = models_folder(config.models)
        wordless = structs.replace(config.transcriber, engine="none")
        self._others = load_engines(structs.replace(config, transcriber=wordless))
        self._recogniser: Transcriber | None = None

    def engines(self, transcript: Path | None) -> Engines:
        """Those of a recording whose words are in `transcript`; None: they are recognised."""
        if transcript is not None:
            transcriber = open_transcriber(self._choice, self._folder, transcript)
        else:
            transcriber = self._recogniser = self._recogniser or open_transcriber(self._choice, self._folder)
        warnings = (makeshift(self._choice, transcriber), self._others.warning)
        return replace(self._others, transcriber=transcriber, warning="; ".join(filter(None, warnings)))

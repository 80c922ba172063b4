"""A replay at maximum speed: the cores in this process, events to standard output, progress to standard error."""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from erc_live.live.alerts.alert_actions import AlertActions
from erc_live.live.asr.pooled_words import PoolPatience
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.screen import sinks
from erc_live.live.screen.console import err, print_line
from erc_live.live.screen.progress import remaining
from erc_live.live.session.engines import load_engines
from erc_live.live.session.in_process import InProcess
from erc_live.live.session.playback import Playback
from erc_live.live.session.recording import recorder
from erc_live.live.session.spec import SessionSpec
from erc_live.models.checkpoint import load
from erc_live.streams.errors import MediaError
from erc_live.streams.media import probe
from erc_live.streams.message_base import PublicMessage
from erc_live.streams.messages import AnyMessage, SourceEnd
from erc_live.streams.replay import Replayed, due_ns

Message = TypeVar("Message", bound=AnyMessage)


def replay(session: SessionSpec, observe: Callable[[AnyMessage], None]) -> None:
    """Play a session to its end. `observe` is called with what is made of it, and at the end of a source. Raises
    MediaError where a file was damaged.
    """
    with err.status("loading the recogniser, the encoders and the weights"):
        checkpoint = load(session.config.tracker.weights)
        transcript = Path(session.transcript) if session.transcript else None
        engines = load_engines(session.config, transcript, patience=PoolPatience(notify=print_line))
    print_line(engines.warning)
    core = InProcess(session, engines, checkpoint)
    actions = AlertActions(session.config.alerts, replaying=True)
    with closing(actions), remaining() as progress:
        bar = progress.add_task("replay", total=_duration_s(session.sources))

        playback = Playback(session)

        def played() -> Iterator[Replayed]:
            printed = 0
            for message in playback:
                yield message
                progress.update(bar, completed=due_ns(message) / 1e9)
                if isinstance(message, SourceEnd):
                    observe(message)
                for note in playback.notes[printed:]:
                    print_line(note, progress.console)
                printed = len(playback.notes)

        with recorder(session, t_ns=0) as bundle:
            store = bundle.write if bundle else lambda message: None
            produced = _observed(_observed(core.run(_observed(played(), store)), store), observe)
            produced = _observed(produced, actions.observe)
            public = (message for message in produced if isinstance(message, PublicMessage))
            sinks.write(public, sys.stdout, as_json=session.jsonl)
    for line in (core.note, *actions.failures()):
        print_line(line)
    if playback.damage:
        raise MediaError(playback.damage)


def _observed(messages: Iterable[Message], observe: Callable[[AnyMessage], None]) -> Iterator[Message]:
    """The same messages, each observed as it passes."""
    for message in messages:
        observe(message)
        yield message


def _duration_s(sources: Sequence[SourceSpec]) -> float | None:
    """The longest of the files, None where one does not say."""
    durations = [probe(Path(source.target)).duration_s for source in sources if source.medium == "file"]
    return max((d for d in durations if d is not None), default=None)

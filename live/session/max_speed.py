"""A replay at maximum speed: the cores in this process, events to standard output, progress to standard error."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from rich.text import Text

from erc_live.live.capture.source import sound_check
from erc_live.live.capture.source_spec import SourceSpec
from erc_live.live.screen import sinks
from erc_live.live.screen.console import err
from erc_live.live.screen.progress import remaining
from erc_live.live.session.engines import load_engines
from erc_live.live.session.in_process import InProcess, recorded
from erc_live.live.session.spec import SessionSpec, manifest
from erc_live.models.checkpoint import load
from erc_live.streams.errors import MediaError
from erc_live.streams.media import probe
from erc_live.streams.messages import AnyMessage, PublicMessage, SourceEnd
from erc_live.streams.record import Recorder
from erc_live.streams.replay import Replayed, due_ns, is_damage

Message = TypeVar("Message", bound=AnyMessage)


def replay(session: SessionSpec, observe: Callable[[AnyMessage], None]) -> None:
    """Play a session to its end. `observe` is called with each message. Raises MediaError where a file was damaged."""
    with err.status("loading the recogniser, the encoders and the weights"):
        checkpoint = load(session.config.tracker.weights)
        transcript = Path(session.transcript) if session.transcript else None
        engines = load_engines(session.config, transcript)
    _say(engines.warning)
    core = InProcess(session, engines, checkpoint)
    with remaining() as progress:
        bar = progress.add_task("replay", total=_duration_s(session.sources))

        damage: list[str] = []
        told: set[str] = set()
        sounds = {s.name: sound_check(s) for s in session.sources if s.kind == "mic" and s.medium == "file"}

        def played() -> Iterator[Replayed]:
            for message in recorded(session, sounds):
                yield message
                progress.update(bar, completed=due_ns(message) / 1e9)
                if isinstance(message, SourceEnd) and is_damage(message):
                    damage.append(message.reason)
                for name, sound in sounds.items():
                    if sound.note and sound.note not in told:
                        progress.console.print(Text(f"{name}: {sound.note}"), soft_wrap=True)
                        told.add(sound.note)

        with _recorder(session) as keep:
            said = _kept(_kept(core.run(_kept(played(), keep)), keep), observe)
            public = (message for message in said if isinstance(message, PublicMessage))
            sinks.write(public, sys.stdout, as_json=session.as_lines)
    _say(core.note)
    if damage:
        raise MediaError(damage[0])


def _say(line: str) -> None:
    """A line for people, if there is one."""
    if line:
        err.print(Text(line), soft_wrap=True)


@contextmanager
def _recorder(session: SessionSpec) -> Iterator[Callable[[AnyMessage], None]]:
    """What keeps a message; nothing does if nobody asked for it."""
    if session.record is None:
        yield lambda message: None
        return
    with Recorder(Path(session.record), manifest(session, t_ns=0, wall_ns=time.time_ns())) as recorder:
        yield recorder.write


def _kept(messages: Iterable[Message], keep: Callable[[AnyMessage], None]) -> Iterator[Message]:
    """The same messages, each kept, or otherwise taken note of, as it passes."""
    for message in messages:
        keep(message)
        yield message


def _duration_s(sources: Sequence[SourceSpec]) -> float | None:
    """The longest of the files, None where one does not say."""
    durations = [probe(Path(source.target)).duration_s for source in sources if source.medium == "file"]
    return max((d for d in durations if d is not None), default=None)

"""The event stream as outlets of the Lab Streaming Layer (LSL), beside EEG, eye tracking and whatever else a study has.

Three outlets of irregular rate, one sample per final event or moment:

- `erc-live estimates`, type Emotion, float32: one channel per label (its probability), then speaker, revision, certain
  (1 or 0), duration_s, valence and arousal (-1 to 1, NaN where they are unknown). A later revision is a sample of its
  own, with the same time.
- `erc-live labels`, type Labels, strings: label, speaker_name, utterance, text.
- `erc-live markers`, type Markers, strings: marks, names and corrections of people, alerts, gaps, pauses, the end.

The time of a sample is when it happened, not when it was sent: the end of an utterance, the moment of a mark. Session
time is tied to Unix time by `Hello`, and Unix time to the clock of LSL when the bridge meets the session; so both are
to be of this machine, and a clock that was set in between shows as that much offset. LSL of other machines corrects
for the network as always.
"""

import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from erc_live.live.bridges.bridge import uninstalled
from erc_live.live.errors import EngineError
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.messages import EmotionEvent, Gap, Hello, PublicEvent, SessionEnd, SessionState, WorkerLost

SETTINGS = "LSLAPICFG"  # of LSL: where its lsl_api.cfg is
ESTIMATES, LABELS, MARKERS = "erc-live estimates", "erc-live labels", "erc-live markers"
_BESIDE = ("speaker", "revision", "certain", "duration_s", "valence", "arousal")
_STRINGS = ("label", "speaker_name", "utterance", "text")


@contextmanager
def this_machine_alone() -> Iterator[None]:
    """Keep the discovery of LSL on this machine, unless somebody has settings of their own; enter it before liblsl is
    loaded. Its own default offers every stream to the local network.
    """
    if SETTINGS in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "lsl_api.cfg"
        file.write_text("[multicast]\nResolveScope = machine\n[log]\nlevel = -1\n", encoding="utf-8")  # warnings
        os.environ[SETTINGS] = str(file)
        try:
            yield
        finally:
            del os.environ[SETTINGS]


class LslBridge:
    """Makes its outlets when a session says `Hello`: another session has others, for the labels may be others.

    `unix_s`: Unix time, for tests.
    """

    def __init__(self, unix_s: Callable[[], float] = time.time) -> None:
        """Raises EngineError without pylsl or liblsl."""
        self._lsl = library()
        self._unix_s = unix_s
        self._outlets: dict[str, Any] = {}
        self._labels: tuple[str, ...] = ()
        self._offset_s = 0.0  # LSL time minus session time

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._outlets.clear()

    def send(self, message: PublicEvent) -> None:
        """Pass on one message; what is provisional is not, for LSL has no samples that are replaced."""
        if isinstance(message, Hello):
            self._greet(message)
        elif isinstance(message, EmotionEvent):
            if message.final:
                self._event(message)
        elif marker := marker_of(message):
            t_ns, text = marker
            self._push(MARKERS, [text], t_ns)

    @property
    def greeted(self) -> bool:
        """Whether the clock of the session is known."""
        return bool(self._outlets)

    def lsl_s(self, t_ns: int) -> float:
        """Session time on the clock of LSL."""
        return t_ns / 1e9 + self._offset_s

    def session_ns(self, lsl_s: float) -> int:
        """The clock of LSL in session time."""
        return round((lsl_s - self._offset_s) * 1e9)

    def _greet(self, hello: Hello) -> None:
        self._outlets.clear()
        self._labels = hello.labels
        self._offset_s = self._lsl.local_clock() - self._unix_s() + (hello.wall_ns - hello.t_ns) / 1e9
        numbers = (*hello.labels, *_BESIDE)
        self._outlets = {
            ESTIMATES: self._outlet(ESTIMATES, "Emotion", numbers, self._lsl.cf_float32, hello),
            LABELS: self._outlet(LABELS, "Labels", _STRINGS, self._lsl.cf_string, hello),
            MARKERS: self._outlet(MARKERS, "Markers", ("marker",), self._lsl.cf_string, hello),
        }

    def _outlet(self, name: str, kind: str, channels: Sequence[str], value: Any, hello: Hello) -> Any:
        source = f"{name} {hello.session}"  # by which an inlet finds the stream again
        info = self._lsl.StreamInfo(name, kind, len(channels), self._lsl.IRREGULAR_RATE, value, source)
        about = info.desc()
        for key in ("session", "model", "notice"):
            about.append_child_value(key, getattr(hello, key))
        listed = about.append_child("channels")
        for channel in channels:
            one = listed.append_child("channel").append_child_value("label", channel)
            one.append_child_value("unit", "probability" if channel in hello.labels else "")
        return self._lsl.StreamOutlet(info)

    def _event(self, event: EmotionEvent) -> None:
        seconds = (event.t_end_ns - event.t_start_ns) / 1e9
        probs = [event.probs.get(label, 0.0) for label in self._labels]
        places = [math.nan if place is None else place for place in (event.valence, event.arousal)]
        beside = [event.speaker, event.revision, event.certain, seconds, *places]
        self._push(ESTIMATES, [*probs, *beside], event.t_end_ns)
        self._push(LABELS, [event.label, event.speaker_name, event.utterance, event.text], event.t_end_ns)

    def _push(self, name: str, values: list[Any], t_ns: int) -> None:
        if outlet := self._outlets.get(name):
            outlet.push_sample(values, self.lsl_s(t_ns))


def marker_of(message: PublicEvent) -> tuple[int, str] | None:
    """When something happened beside the utterances, and what, in words that begin with its kind."""
    match message:
        case Annotation():
            about = {"label": message.utterance, "name": f"speaker {message.speaker}", "mark": ""}[message.kind]
            return message.t_ns, " ".join(filter(None, [message.kind, about, message.label, message.text]))
        case Alert():
            return message.t_ns, f"alert {'on' if message.on else 'off'} {message.rule}: {message.text}"
        case Gap():
            return message.t_start_ns, f"gap {message.source} {message.cause} until {message.t_end_ns / 1e9:.3f}"
        case SessionState():
            return message.t_ns, "paused" if message.paused else "recording" if message.recording else "analysing"
        case WorkerLost():
            return message.t_ns, f"worker lost {message.worker}"
        case SessionEnd():
            return message.t_ns, f"end {message.reason}"
        case _:
            return None


def library() -> Any:
    """The module pylsl. Raises EngineError without it, or without liblsl."""
    try:
        import pylsl
    except ModuleNotFoundError as error:
        raise uninstalled("pylsl") from error
    except (RuntimeError, OSError) as error:  # pylsl is there, the library in C is not
        reason = str(error).partition("\n")[0]
        raise EngineError(f"liblsl cannot be loaded ({reason}): install it, or name it in PYLSL_LIB") from error
    return pylsl

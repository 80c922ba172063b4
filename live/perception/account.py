"""What perception took in and has not given on yet; and, at the end, why there is nothing to show.

A session that ends with no utterance, or a transcript of which nothing was used, looks like a program that does not
work, though mostly it is a muted microphone or the wrong file. So who can know says it, in one line.
The rule of this file: pure; it looks at what passes, and changes none of it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from erc_live.live.capture.sound_check import level_db
from erc_live.live.requests import Analysis, Cue, Request, RequestKind
from erc_live.streams.messages import AudioChunk, SourceEnd
from erc_live.streams.replay import is_damage

# Loudest window, dBFS. Speech that is turned down (a telephone call, a speech, synthetic voices) loses its first
# utterance to the detector between -46 and -64 dB.
QUIET_DB = -45.0


@dataclass
class _MicrophoneAccount:
    """What came from one microphone. `speaker`: whose it is, None if nobody's or several people's."""

    speaker: str | None
    covered_ns: int | None = None
    sound_s: float = 0.0
    loudest_db: float | None = None  # None: nothing but zeros, or one constant value
    damage: str = ""
    stopped: bool = False


class Account:
    """`take` what comes in, `ask` what is to be analysed, `answer` what was released: in the order in which it happens.

    `microphones`: the name of each, and of the person it belongs to. `start_ns`: when the media begin.
    """

    def __init__(self, microphones: Mapping[str, str | None], start_ns: int = 0) -> None:
        self._microphones = {name: _MicrophoneAccount(speaker) for name, speaker in microphones.items()}
        self._start_ns = start_ns
        self._open: dict[str, Request] = {}  # by utterance: being said, or closed and not released
        self._closed = 0

    def take(self, message: object) -> None:
        """A message of a source, whatever it is."""
        if not isinstance(message, AudioChunk | SourceEnd) or message.source not in self._microphones:
            return
        microphone = self._microphones[message.source]
        if isinstance(message, SourceEnd):
            microphone.damage = message.reason if is_damage(message) else ""
            microphone.stopped = message.reason == "stopped"
            return
        microphone.covered_ns = message.t_end_ns
        microphone.sound_s += (message.t_end_ns - message.t_ns) / 1e9
        if len(message.pcm) and message.pcm.min() != message.pcm.max():
            microphone.loudest_db = max(level_db(message.pcm), microphone.loudest_db or -100.0)

    def ask(self, requests: Iterable[Request]) -> None:
        """What perception wants to be analysed: of each microphone, the newest is what is being said there now."""
        for request in requests:
            for utterance, other in [*self._open.items()]:
                if other.source == request.source and other.kind != RequestKind.FINAL:
                    del self._open[utterance]
            self._open[request.utterance] = request
            self._closed += request.kind == RequestKind.FINAL

    def answer(self, analysis: Analysis) -> None:
        """An utterance that is given on; a draft changes nothing."""
        if analysis.request.kind == RequestKind.FINAL:
            self._open.pop(analysis.request.utterance, None)

    @property
    def waiting(self) -> int:
        """Utterances that are being said, or closed, and not given on."""
        return len(self._open)

    @property
    def since_ns(self) -> int | None:
        """Before this, all that was heard was given on; None before anything was heard."""
        heard = [m.covered_ns for m in self._microphones.values() if m.covered_ns is not None]
        return min([*heard, *(request.t_start_ns for request in self._open.values())]) if heard else None

    def note(self, unused: Sequence[Cue] = (), cues: int = 0) -> str:
        """Why there was no utterance, and what of a transcript of so many cues was never used; "" if all is well."""
        silence = ""
        if not self._closed:
            silence = "no utterance: " + ", ".join(f"{name} {self._why(m)}" for name, m in self._microphones.items())
        leftover = self._leftover(unused)
        reasons = ", ".join(f"{count} {why}" for why, count in leftover.items())
        told = f"{leftover.total()} of {cues} cues of the transcript were never used ({reasons})" if leftover else ""
        return "; ".join(part for part in (silence, told) if part)

    def _why(self, microphone: _MicrophoneAccount) -> str:
        ended = f", and it ended early: {microphone.damage}" if microphone.damage else ""
        if microphone.covered_ns is None:
            return f"delivered no sound{ended}"
        loudest_db, sound = microphone.loudest_db, f"{microphone.sound_s:.1f} s of sound"
        if loudest_db is None:
            return f"delivered {sound} that is all zero{ended}"
        if loudest_db < QUIET_DB:
            return f"is too quiet ({loudest_db:.0f} dB at the loudest of {sound}): raise its level{ended}"
        own = " of its own" if len(self._microphones) > 1 else ""  # crosstalk is not
        return f"heard no speech{own} in {sound} ({loudest_db:.0f} dB at the loudest){ended}"

    def _leftover(self, unused: Sequence[Cue]) -> Counter[str]:
        """Why cues were not used, and how many. What lies beyond the point at which somebody stopped is no loss."""
        heard = [m.covered_ns for m in self._microphones.values() if m.covered_ns is not None]
        end_s = (max(heard) - self._start_ns) / 1e9 if heard else 0.0
        stopped = any(m.stopped for m in self._microphones.values())
        people = {m.speaker for m in self._microphones.values()}
        reasons: Counter[str] = Counter()
        for cue in unused:
            if cue.speaker is not None and None not in people and cue.speaker not in people:
                reasons[f"of {cue.speaker}, whom no microphone belongs to"] += 1
            elif cue.source is not None and cue.source not in self._microphones:
                reasons[f"of {cue.source}, which is not heard here"] += 1
            elif cue.start_s < end_s:
                reasons["where no speech was heard"] += 1
            elif not stopped:
                reasons[f"after the end of the sound at {end_s:.1f} s"] += 1
        return reasons

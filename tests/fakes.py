"""Stand-ins for devices, engines and people. For unit tests only."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from erc_live.live.requests import Analysis, Request, Transcript, VoicePart
from erc_live.streams.messages import CHUNK_SAMPLES, AudioChunk, Recogniser, samples_to_ns

LOUD, QUIET = 8000, 0


class LoudnessDetector:
    """Loud is speech."""

    def __call__(self, window: np.ndarray) -> float:
        return float(np.abs(window.astype(np.int32)).mean() > LOUD / 2)

    def reset(self) -> None:
        """Keeps nothing."""


def speech(*stretches: tuple[bool, int]) -> np.ndarray:
    """Samples of (loud?, detector windows) stretches, each window distinguishable from the others."""
    parts = [np.full(n * CHUNK_SAMPLES, LOUD if loud else QUIET, np.int16) for loud, n in stretches]
    samples = np.concatenate(parts)
    return samples + (np.arange(len(samples)) // CHUNK_SAMPLES % 100).astype(np.int16)


def chunks(source: str, pcm: np.ndarray, start_ns: int = 0, size: int = CHUNK_SAMPLES) -> Iterator[AudioChunk]:
    """The samples as chunks of `size`."""
    for first in range(0, len(pcm), size):
        yield AudioChunk(source=source, t_ns=start_ns + samples_to_ns(first), pcm=pcm[first : first + size])


def merged(*streams: Sequence[AudioChunk]) -> list[AudioChunk]:
    """Several sources in the order of time."""
    return sorted((c for s in streams for c in s), key=lambda c: (c.t_end_ns, c.source))


def answer(request: Request, text: str = "", speaker: str | None = None, now_ns: int = 0) -> Analysis:
    """What an analyser might say."""
    transcript = Transcript(text=text or request.utterance, speaker=speaker, confidence=None)
    return Analysis(
        request=request,
        parts=(VoicePart(request.t_start_ns, request.t_end_ns, transcript, audio_vec=None),),
        engine=Recogniser(name="fake"),
        encoders={"text": "fake", "audio": "fake"},
        t_text_ns=now_ns,
        t_features_ns=now_ns,
    )


@dataclass
class ScriptedTranscriber:
    """Says what it was told to, in order."""

    lines: list[str]
    name: str = "scripted"
    quick: bool = True
    heard: list[object] = field(default_factory=list)

    def transcribe(self, utterance: object) -> Transcript:
        self.heard.append(utterance)
        return Transcript(text=self.lines[len(self.heard) - 1], speaker=None, confidence=None)

"""The sound and the pictures of each utterance of a dialogue, out of the files that the corpus names.

A clip is heard whole. A recording of the conversation is decoded once, however many utterances are cut out of it, and
only what the present utterances need is held. The rule of this file: a file that is missing or damaged never ends the
work. What lies before the damage is used, the rest is missing, and the file is named.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from erc_live.live.config import CaptureSection
from erc_live.models.corpora.dialogue import Dialogue, Utterance
from erc_live.streams.errors import MediaError
from erc_live.streams.media import audio_chunks, video_frames
from erc_live.streams.messages import CHUNK_S, SAMPLE_RATE_HZ, AudioChunk, VideoFrame


class Timed(Protocol):
    """A piece of a stream; `t_ns` since the file began."""

    @property
    def t_ns(self) -> int: ...


Piece = TypeVar("Piece", bound=Timed)


@dataclass(frozen=True)
class Cut:
    """The part of a file that belongs to the utterance at `place` of its dialogue, in seconds."""

    place: int
    start_s: float
    end_s: float


def cuts(dialogue: Dialogue, file_of: Callable[[Utterance], Path | None]) -> dict[Path, list[Cut]]:
    """What is wanted of each file of a dialogue, in the order of time."""
    found: dict[Path, list[Cut]] = {}
    for place, utterance in enumerate(dialogue.utterances):
        file = file_of(utterance)
        if file is not None:
            start_s, end_s = dialogue.span(utterance, file)
            found.setdefault(file, []).append(Cut(place, start_s, inf if end_s is None else end_s))
    return {file: sorted(wanted, key=lambda cut: cut.start_s) for file, wanted in found.items()}


def sounds(file: Path, wanted: Sequence[Cut], broken: list[str]) -> Iterator[tuple[Cut, np.ndarray]]:
    """The samples of each cut, int16 (n,) mono at `SAMPLE_RATE_HZ`, n > 0; one without any is left out."""
    for cut, chunks in _share(audio_chunks(file, file.name, 0), wanted, broken):
        pcm = np.concatenate([np.empty(0, np.int16), *(_inside(chunk, cut) for chunk in chunks)])
        if len(pcm):
            yield cut, pcm


def frames_of(
    file: Path, wanted: Sequence[Cut], how: CaptureSection, broken: list[str]
) -> Iterator[tuple[Cut, list[VideoFrame]]]:
    """The pictures of each cut, at least one, as a camera would have sent them."""
    frames = video_frames(file, file.name, 0, how.camera_rate_hz, how.camera_width_px, how.jpeg_quality)
    for cut, seen in _share(frames, wanted, broken):
        inside = [frame for frame in seen if cut.start_s * 1e9 <= frame.t_ns < cut.end_s * 1e9]
        if inside:
            yield cut, inside


def _share(pieces: Iterable[Piece], wanted: Sequence[Cut], broken: list[str]) -> Iterator[tuple[Cut, list[Piece]]]:
    """Each cut with the pieces that touch it, as soon as the stream is past it; of a file that breaks off, not those
    that it does not hold to their end.
    """
    waiting = list(wanted)
    held: dict[int, list[Piece]] = {cut.place: [] for cut in wanted}
    try:
        for piece in pieces:
            now_s = piece.t_ns / 1e9
            for cut in [cut for cut in waiting if cut.end_s <= now_s]:
                waiting.remove(cut)
                yield cut, held.pop(cut.place)
            for cut in waiting:
                if cut.start_s < now_s + CHUNK_S:
                    held[cut.place].append(piece)
            if not waiting:
                return
    except MediaError as error:
        broken.append(str(error))
        return
    for cut in waiting:
        yield cut, held.pop(cut.place)


def _inside(chunk: AudioChunk, cut: Cut) -> np.ndarray:
    """The samples of a chunk that lie in a cut, to the sample."""
    length = len(chunk.pcm)
    first, last = ((edge_s - chunk.t_ns / 1e9) * SAMPLE_RATE_HZ for edge_s in (cut.start_s, cut.end_s))
    return chunk.pcm[round(min(max(first, 0.0), length)) : round(min(max(last, 0.0), length))]

"""Labelled voices, and what the frozen layers of the voice network make of them, which is heard once and kept on disk.

To listen is nearly all the work of a training, and what is frozen hears the same in every fold. So each clip is heard
as it is, as each degradation of sounds.py spoils it, and as several copies that are spoilt at random for training: by
another speed, which is another pitch and another throat, by lines, rooms and noise.
The rule of this file: what is drawn for a copy depends on the seed, its number, the clip and its person alone, and in
the background of a person talks nobody else, so that who is left out of a fold is heard nowhere in it.
"""

import hashlib
import zlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Generator, Tensor

from erc_live.models.encoders.voice import KIND, RATE_HZ, SHORTEST_S, VOICE_LABELS, SpeechCut, samples
from erc_live.models.encoders.voice_network import Listener
from erc_live.models.files import whole
from erc_live.models.training.sounds import DEGRADATIONS, degrade, spoil, trimmed

CONDITIONS: tuple[tuple[str, ...], ...] = ((), *((name,) for name in DEGRADATIONS))  # under which voices are scored
Way = tuple[str, ...] | int  # how a clip is heard: under a condition, or as the spoilt copy of this number


@dataclass(frozen=True)
class VoiceClip:
    """A voice, which of `VOICE_LABELS` it expresses, and whose it is. Shapes: pcm int16 (n,) at `RATE_HZ`."""

    name: str
    pcm: np.ndarray
    label: str
    person: str

    def usable(self) -> bool:
        """Whether anything can be learnt from it."""
        return len(self.pcm) >= SHORTEST_S * RATE_HZ and SpeechCut()(samples(self.pcm)) is not None


def classes_of(clips: Sequence[VoiceClip]) -> Tensor:
    """Shapes: -> (n,) int64"""
    return torch.tensor([VOICE_LABELS.index(clip.label) for clip in clips])


@dataclass(frozen=True)
class DescribedVoices:
    """Usable clips and their descriptions: under each of `CONDITIONS`, NaN where nothing is usable then, and as
    spoilt copies.

    Shapes: n clips, conditions (conditions, n, width), copies (copies, n, width).
    """

    listener: Listener
    clips: tuple[VoiceClip, ...]
    conditions: Tensor
    copies: Tensor

    @property
    def labels(self) -> Tensor:
        """Shapes: (n,) int64"""
        return classes_of(self.clips)

    def of(self, people: Collection[str]) -> Self:
        """Those of these people."""
        rows = [row for row, clip in enumerate(self.clips) if clip.person in people]
        kept = tuple(self.clips[row] for row in rows)
        return type(self)(self.listener, kept, self.conditions[:, rows], self.copies[:, rows])


@dataclass(frozen=True)
class Hearing:
    """How clips are to be heard: by what, in how many spoilt copies, drawn from which seed; `cache` is the folder where
    descriptions are kept. It is told how many of how many clips have been heard.
    """

    listener: Listener
    copies: int
    seed: int
    cache: Path
    watch: Callable[[int, int], None] = lambda done, total: None

    def describe(self, clips: Sequence[VoiceClip]) -> DescribedVoices:
        """Listen to the usable ones of these clips; whoever is interrupted does not begin anew.

        Raises:
            WeightsError: the cache cannot be written to.
        """
        clips = tuple(clip for clip in clips if clip.usable())
        ways: tuple[Way, ...] = (*CONDITIONS, *range(self.copies))
        heard = torch.full((len(ways), len(clips), self.listener.width), torch.nan)
        digest, done = _digest(self.listener), 0
        for person in dict.fromkeys(clip.person for clip in clips):
            rows = [row for row, clip in enumerate(clips) if clip.person == person]
            voices = [clips[row] for row in rows]
            for place, way in enumerate(ways):
                heard[place, rows] = self._of_person(voices, way, digest)
                self.watch(done := done + len(rows), len(ways) * len(clips))
        return DescribedVoices(self.listener, clips, heard[: len(CONDITIONS)], heard[len(CONDITIONS) :])

    def _of_person(self, clips: Sequence[VoiceClip], way: Way, digest: str) -> Tensor:
        """Descriptions of all clips of a person, from the disk where they are. Shapes: -> (n, width)"""
        content = hashlib.sha256(repr((digest, way, self.seed if isinstance(way, int) else None)).encode())
        for clip in clips:
            content.update(clip.pcm.tobytes())
        path = self.cache / f"voice-{content.hexdigest()[:24]}.safetensors"
        if path.is_file():
            try:
                return load_file(path)["descriptions"]
            except (SafetensorError, KeyError):
                path.unlink()  # damaged: what is only kept to save time is made again
        cut = SpeechCut()
        made = torch.stack([_described(self.listener, cut(wave)) for wave in _sounds(clips, way, self.seed)])
        with whole(path) as part:
            save_file({"descriptions": made}, part)
        return made


def _sounds(clips: Sequence[VoiceClip], way: Way, seed: int) -> Iterator[Tensor]:
    """The clips of a person under a condition, or as the copy of this number; such a copy is usable, as its clip is."""
    if not isinstance(way, int):
        yield from (samples(degrade(clip.pcm, way)) for clip in clips)
        return
    cut, waves = SpeechCut(), [trimmed(samples(clip.pcm)) for clip in clips]
    for clip, wave in zip(clips, waves, strict=True):
        drawn = zlib.crc32(repr((seed, way)).encode(), zlib.crc32(clip.pcm.tobytes()))
        spoilt = spoil(wave, waves, Generator().manual_seed(drawn))
        yield wave if cut(spoilt) is None else spoilt


@torch.inference_mode()
def _described(listener: Listener, speech: Tensor | None) -> Tensor:
    """A clip by itself, as in live use; NaN where nothing is usable. Shapes: (samples,) -> (width,)"""
    described: Tensor = torch.full((listener.width,), torch.nan) if speech is None else listener(speech)
    return described


def _digest(listener: Listener) -> str:
    """Of the recipe and the weights."""
    content = hashlib.sha256(KIND.format.encode())
    for name, values in listener.state_dict().items():
        content.update(name.encode() + values.numpy().tobytes())
    return content.hexdigest()

"""Who speaks within one utterance: where another voice goes on, and what each stretch of one voice sounds like.

People often answer without a pause, so what the segmenter closes may hold two voices. Vectors of windows that slide
over the utterance are compared before and after each moment; where the two sides are unlike, it is cut. Only samples of
the utterance itself count: the same samples give the same answer, whatever came before.

All comparisons, here and in `clustering.py`, are dot products of the MEANS of unit vectors, not cosines: that is the
average likeness of a window of the one and a window of the other, and its expected value does not grow with the length
of either. One threshold then holds for a second as for a minute.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from erc_live.live.config import SpeakersSection
from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.speaker import SpeakerEncoder
from erc_live.streams.messages import SAMPLE_RATE_HZ

WINDOW = SAMPLE_RATE_HZ  # samples of a window: 1 s; 0.8 to 1.6 s tell voices of the call and of AMI apart equally well
APART = 5  # windows from one to the next that has no sample in common with it
HOP = WINDOW // APART
SIDE = 5  # windows that are compared on each side of a moment: 1.8 s of sound
SHORTEST = round(0.4 * SAMPLE_RATE_HZ)  # less is rarely more than one vowel
# Of 382 utterances of made talk it finds 229 changes and cuts 72 times for nothing; of 53 of the call, 1 and 4. What
# was cut for nothing is given to one voice again (`partition.py`).
UNLIKE = 0.62  # likeness of two sides below which another voice goes on
NEAR = HOP  # samples around a cut in which its quietest place is looked for
STEP = SAMPLE_RATE_HZ // 100  # samples of which loudness is measured


@dataclass(frozen=True)
class VoiceSegment:
    """Samples `start` to `end` of an utterance, of one voice as far as can be heard.

    `embedding`: float32 (256,), the mean of the unit vectors of its windows; None where it is too short or too quiet.
    """

    start: int
    end: int
    embedding: np.ndarray | None


class VoiceReader:
    """Cuts utterances where the voice changes. No state: may be called in any order, by any thread."""

    def __init__(self, encoder: SpeakerEncoder) -> None:
        self.encoder = encoder

    def split(self, pcm: np.ndarray) -> tuple[VoiceSegment, ...]:
        """The stretches of an utterance: in order, without holes; where there are several, of 0.6 s at least.

        Shapes: pcm int16 (n,) at 16 kHz, n >= 0.
        """
        if len(pcm) < WINDOW:
            return (VoiceSegment(0, len(pcm), self._brief(pcm)),)
        vectors = self.encoder(np.lib.stride_tricks.sliding_window_view(pcm, WINDOW)[::HOP])
        cuts = [0, *_changes(vectors), len(vectors) - 1 + APART]  # numbers of windows; the last is beyond the end
        edges = [0, *(_quietest(pcm, HOP * cut) for cut in cuts[1:-1]), len(pcm)]
        means = [_mean(vectors[first : last - APART + 1]) for first, last in pairwise(cuts)]
        return tuple(VoiceSegment(*edge, mean) for edge, mean in zip(pairwise(edges), means, strict=True))

    def _brief(self, pcm: np.ndarray) -> np.ndarray | None:
        """What is shorter than a window is heard several times over, which tells voices apart better than silence
        after it.
        """
        if len(pcm) < SHORTEST:
            return None
        vector: np.ndarray = self.encoder(np.resize(pcm, WINDOW)[None])[0]
        return None if np.isnan(vector[0]) else vector


def open_voice_reader(config: SpeakersSection) -> VoiceReader | None:
    """The reader that comes with erc-live; None where there is one voice to tell apart.

    Raises:
        WeightsError: its weights are damaged.
    """
    return None if config.most == 1 else VoiceReader(SpeakerEncoder.load(PRETRAINED / "speaker"))


def _changes(vectors: np.ndarray) -> list[int]:
    """Numbers of the windows with which another voice begins, `APART` or more from each other and from both ends.

    Shapes: vectors (n, 256), NaN for silence.
    """
    likeness = {}
    for cut in range(APART, len(vectors)):
        before = _mean(vectors[max(cut - APART + 1 - SIDE, 0) : cut - APART + 1])
        after = _mean(vectors[cut : cut + SIDE])
        if before is not None and after is not None and (like := float(before @ after)) < UNLIKE:
            likeness[cut] = like
    found: list[int] = []
    for cut in sorted(likeness, key=lambda cut: (likeness[cut], cut)):
        if all(abs(cut - other) >= APART for other in found):
            found.append(cut)
    return sorted(found)


def _mean(vectors: np.ndarray) -> np.ndarray | None:
    """Shapes: (n, 256), NaN for silence -> (256,), None when there is nothing else."""
    heard = vectors[~np.isnan(vectors[:, 0])]
    return heard.mean(0) if len(heard) else None


def _quietest(pcm: np.ndarray, sample: int) -> int:
    """The middle of the quietest 10 ms around a sample: turns seldom change within a vowel."""
    around = pcm[sample - NEAR : sample + NEAR].astype(np.float64)
    power = np.square(around[: len(around) // STEP * STEP].reshape(-1, STEP)).mean(1)
    return sample - NEAR + int(power.argmin()) * STEP + STEP // 2

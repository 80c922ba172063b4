"""From what a recogniser says of itself to how far its words may be believed when a label is estimated.

A recogniser's mean log-probability is no probability of anything that matters here. What matters is whether the words
that it gave bear the label of those that were said; that was learnt, by logistic regression: c = s(a + b x), x the mean
log-probability. Data: 126 sentences of MELD train for Whisper tiny.en and 51 for pocketsphinx, read by four synthetic
voices in noise at 3 to 40 dB, a third of them by telephone; labels by the shipped weights, from the text alone. On 126
others, of MELD dev, weighing words by c lowers the negative log-likelihood of the true labels from 1.65 to 1.53 nats
with tiny.en; accuracy stays at 0.46. How they weigh stands in `live/tracking/tracker.py`. The coefficients of Whisper
base, learnt apart, do not differ beyond their spread.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Calibration:
    """The coefficients of a recogniser."""

    a: float
    b: float

    def confidence(self, log_probability: float) -> float:
        """How probable it is that what was misheard leaves the label as it is, 0 to 1. `log_probability`: mean, in
        nats, of what was recognised.
        """
        return 1 / (1 + math.exp(-(self.a + self.b * log_probability)))


WHISPER = Calibration(2.15, 2.82)
POCKETSPHINX = Calibration(0.7, 0.4)  # it hardly knows when it is wrong

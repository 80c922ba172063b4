"""When words are believed: recognisers invent fluent sentences where nobody speaks.

Checks stand before the recogniser (is there anything to hear?), in it (is it sure of itself?) and after it (does the
text go round in circles?). A list of stock phrases is the last resort, and only against a recogniser that is unsure.
Text that does not pass is no text; the utterance stays one, for a laugh has no words either.
"""

import re
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from erc_live.streams.messages import SAMPLE_RATE_HZ

_SHORTEST_S = 0.1  # a short vowel; a recogniser pads what is shorter with more silence than it has sound
_QUIETEST = 32768.0 * 10 ** (-60 / 20)  # -60 dBFS: near the rounding noise of a telephone line in 8 bits
_FRAME = SAMPLE_RATE_HZ // 50  # samples of a level: 20 ms
_LONGEST_PHRASE = 8  # words that may make up a loop
_WORDS_IN_A_ROW, _PHRASES_IN_A_ROW = 6, 4  # people say "no no no", and "I know, I know, I know"
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")

# What subtitles end with, hence what Whisper says in silence. "Thank you" is here too: people do say it, and then it
# is sure.
_STOCK = frozenset(
    (
        "thank you",
        "thank you very much",
        "thank you for watching",
        "thanks for watching",
        "thank you for listening",
        "please subscribe",
        "like and subscribe",
        "subtitles by the amara org community",
        "you",
        "bye",
    )
)


class SegmentScores(Protocol):
    """What faster-whisper says about a stretch of text."""

    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    tokens: list[int]


@dataclass(frozen=True)
class CredibleLimits:
    """When a stretch of Whisper's text is believed.

    0.6, -1.0 and 2.4 are the thresholds of Whisper's authors (arXiv 2212.04356, section 4.5), who decode again at a
    higher temperature where the last two fail; decoding here is deterministic, so the text is dropped. Their silence
    rule needs a log-probability under -1.0, which alone drops the text here; ours asks for -0.5, because an invented
    "Thank you." is fluent.
    """

    no_speech_prob: float = 0.6  # above, it is silence, unless the words are surer than `sure_logprob`
    sure_logprob: float = -0.5
    avg_logprob: float = -1.0
    compression_ratio: float = 2.4  # of the text under zlib: above, it repeats itself

    def accept(self, segment: SegmentScores) -> bool:
        """Whether the text of a segment is believed."""
        silent = segment.no_speech_prob > self.no_speech_prob
        unsure = segment.avg_logprob < self.sure_logprob
        if (silent and unsure) or segment.avg_logprob < self.avg_logprob:
            return False
        if segment.compression_ratio > self.compression_ratio:
            return False
        return not (silent or unsure) or " ".join(_words(segment.text)) not in _STOCK


def audible(pcm: np.ndarray) -> bool:
    """Whether the sound is long and loud enough to hold a word. Shapes: pcm (n,) int16 at 16 kHz."""
    if len(pcm) < _SHORTEST_S * SAMPLE_RATE_HZ:
        return False
    frames = pcm[: len(pcm) // _FRAME * _FRAME].reshape(-1, _FRAME).astype(np.float64)
    return bool(np.sqrt(np.mean(np.square(frames - pcm.mean()), axis=1)).max() >= _QUIETEST)


def repeats(text: str) -> bool:
    """Whether a word or phrase is said so often in a row that it is the recogniser that stammers."""
    words = _words(text)
    return any(_in_a_row(words, length) for length in range(1, _LONGEST_PHRASE + 1))


def _in_a_row(words: list[str], length: int) -> bool:
    wanted = (_WORDS_IN_A_ROW if length == 1 else _PHRASES_IN_A_ROW) * length - length
    same = 0  # words in a row that are the same as the one `length` before
    for earlier, later in zip(words, words[length:], strict=False):
        same = same + 1 if earlier == later else 0
        if same >= wanted:
            return True
    return False


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())

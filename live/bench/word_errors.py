"""Which words of a reference were recognised: counted word by word, and how sure that count is.

Words are compared as Whisper's authors do (arXiv 2212.04356, appendix C): without case, punctuation, hesitations ("um")
and what stands in brackets; contractions written out, numbers in digits, American spelling. Other languages than
English: without case, punctuation and brackets. The word error rate is that of jiwer: words that are wrong
(substitutions), missing (deletions) or too many (insertions), over those that were said; it may exceed 1.

Intervals are those of the bootstrap (Bisani and Ney, ICASSP 2004): utterances of the reference are drawn anew with
replacement, 2.5 to 97.5 % of the rates that come out. Two recognisers are compared on the same draws; a difference
whose interval holds 0 is none. Utterances of one speaker are alike, so of few speakers an interval is too narrow.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from erc_live.live.errors import EngineError
from erc_live.live.screen.percentile import percentile

DRAWS = 2000
LEAST_UTTERANCES = 10  # fewer give no interval
_TAILS = (2.5, 97.5)
_ENGLISH = ("auto", "en")  # of `transcriber.language`; the emotion weights know English

Normaliser = Callable[[str], str]


@dataclass(frozen=True)
class Errors:
    """Words that were said in so many utterances of the reference, and what became of them.

    `lost`: utterances of whose words none was heard, right or wrong.
    """

    words: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    utterances: int = 0
    lost: int = 0

    @property
    def total(self) -> int:
        """Errors of all kinds."""
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float | None:
        """Word error rate; above 1 where much was invented, None where nothing was said."""
        return self.total / self.words if self.words else None

    def __add__(self, other: "Errors") -> "Errors":
        return Errors(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


def normaliser(language: str) -> Normaliser:
    """What makes the words of this `transcriber.language` comparable. Raises EngineError if it is not installed."""
    try:
        from whisper_normalizer.basic import BasicTextNormalizer
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError as error:
        raise EngineError("counting wrong words needs whisper-normalizer: pip install 'erc-live[bench]'") from error
    plain = EnglishTextNormalizer() if language in _ENGLISH else BasicTextNormalizer()

    def normalise(text: str) -> str:
        words = plain(text.replace("\u2019", "'")).split()  # it knows one apostrophe of the two
        return " ".join(word for word in words if any(map(str.isalnum, word)))  # of an ellipsis it leaves a full stop

    return normalise


def compare(reference: Sequence[str], recognised: str, normalise: Normaliser) -> list[Errors]:
    """The errors of what was heard, for each utterance of the reference that has a word.

    Where the reference has none, all that was heard is one utterance of 0 words. A word too many belongs to the
    utterance before whose words it stands; after the last, to the last. Raises EngineError without jiwer.
    """
    try:
        import jiwer
    except ImportError as error:
        raise EngineError("counting wrong words needs jiwer: pip install 'erc-live[bench]'") from error
    utterances = [words for text in reference if (words := normalise(text).split())]
    hypothesis = normalise(recognised)
    if not utterances:
        return [Errors(insertions=len(hypothesis.split()))]
    found = jiwer.process_words(" ".join(" ".join(words) for words in utterances), hypothesis)
    ends = np.cumsum([len(words) for words in utterances])
    counts = np.zeros((len(utterances), 3), int)
    kinds = {"substitute": 0, "delete": 1, "insert": 2}
    for chunk in found.alignments[0]:
        if chunk.type == "insert":
            at = min(chunk.ref_start_idx, int(ends[-1]) - 1)
            counts[np.searchsorted(ends, at, "right"), 2] += chunk.hyp_end_idx - chunk.hyp_start_idx
        elif chunk.type in kinds:
            for at in range(chunk.ref_start_idx, chunk.ref_end_idx):
                counts[np.searchsorted(ends, at, "right"), kinds[chunk.type]] += 1
    return [
        Errors(len(words), wrong, missing, extra, 1, int(missing == len(words)))
        for words, (wrong, missing, extra) in zip(utterances, counts.tolist(), strict=True)
    ]


def together(errors: Sequence[Errors]) -> Errors:
    """All as one: every word counts the same."""
    return sum(errors, Errors())


def interval(utterances: Sequence[Errors], other: Sequence[Errors] | None = None) -> tuple[float, float] | None:
    """95 % of the word error rates that other utterances of the kind might have given; None for too few to tell.

    With `other`, another recogniser on the same utterances: of how much higher its rate is.
    """
    words = np.array([errors.words for errors in utterances])
    wrong = np.array([errors.total for errors in utterances])
    if np.count_nonzero(words) < LEAST_UTTERANCES:
        return None
    if other is not None:
        wrong = np.array([errors.total for errors in other]) - wrong
    random = np.random.default_rng(0)
    drawn = (random.integers(len(words), size=len(words)) for _ in range(DRAWS))
    rates = [float(wrong[draw].sum() / max(words[draw].sum(), 1)) for draw in drawn]
    return percentile(rates, _TAILS[0]), percentile(rates, _TAILS[1])

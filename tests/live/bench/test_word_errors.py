"""Words are counted as people in the field do, and a difference that chance explains is called none."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.bench import word_errors
from erc_live.live.bench.word_errors import Errors, compare, interval, normaliser, together
from erc_live.live.errors import EngineError

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")
english = normaliser("auto")
some = st.lists(st.sampled_from(["one", "two", "house", "don't"]), min_size=1, max_size=12).map(" ".join)


@pytest.mark.parametrize(
    ("said", "heard", "counts"),
    [
        ("Well, DON'T -- stop!", "well do not stop", (4, 0, 0, 0)),
        ("I won\u2019t.", "I won't", (3, 0, 0, 0)),  # either apostrophe
        ("a well-known man\u2014yes", "A well known man, yes.", (5, 0, 0, 0)),
        ("Um, twenty-one colours [laughs]", "21 colors", (2, 0, 0, 0)),
        ("Why? Well...", "why well", (2, 0, 0, 0)),
        ("dogs and cats", "dog and", (3, 1, 1, 0)),
        ("house", "", (1, 0, 1, 0)),
        ("house", "house and home", (1, 0, 0, 2)),
        ("house", "the old house", (1, 0, 0, 2)),
    ],
)
def test_only_what_sounds_different_counts(said: str, heard: str, counts: tuple[int, ...]) -> None:
    (errors,) = compare([said], heard, english)
    assert (errors.words, errors.substitutions, errors.deletions, errors.insertions) == counts


def test_other_languages_lose_case_and_punctuation_alone() -> None:
    (errors,) = compare(["Der Mann, der Don't sagt."], "der mann der don't sagt", normaliser("de"))
    assert (errors.total, errors.words) == (0, 6)


def test_errors_belong_to_the_utterance_in_which_they_are() -> None:
    said = ["good morning everybody", "um", "how are you", "fine thanks"]
    first, second, third = compare(said, "good morning every body how are you well", english)
    assert (first.words, first.substitutions + first.insertions, first.lost) == (3, 2, 0)
    assert second == Errors(words=3, utterances=1)
    assert (third.words, third.total, third.lost) == (2, 2, 0)
    assert compare(said, "good morning everybody fine thanks", english)[1] == Errors(3, 0, 3, 0, 1, lost=1)


def test_where_nobody_speaks_every_word_is_too_many() -> None:
    (errors,) = compare([], "Thank you.", english)
    assert (errors.insertions, errors.words, errors.rate, errors.utterances) == (2, 0, None, 0)


@given(st.lists(some, min_size=1, max_size=4), some)
def test_cutting_a_reference_into_utterances_changes_no_sum(said: list[str], heard: str) -> None:
    parts = together(compare(said, heard, str.strip))
    (whole,) = compare([" ".join(said)], heard, str.strip)
    assert (parts.words, parts.total, parts.utterances) == (whole.words, whole.total, len(said))


def test_few_utterances_give_no_interval() -> None:
    assert interval([Errors(5, 1, 0, 0, 1, 0)] * (word_errors.LEAST_UTTERANCES - 1)) is None
    assert interval([Errors(5, 1, 0, 0, 1, 0)] * word_errors.LEAST_UTTERANCES) == (0.2, 0.2)


def test_the_interval_is_that_of_the_binomial_where_each_word_is_a_draw_of_its_own() -> None:
    utterances = [Errors(1, int(n % 5 == 0), 0, 0, 1, 0) for n in range(400)]
    found = interval(utterances)
    assert found is not None
    half = 1.96 * (0.2 * 0.8 / 400) ** 0.5
    assert found == pytest.approx((0.2 - half, 0.2 + half), abs=0.01)


def test_two_recognisers_are_compared_on_the_same_utterances() -> None:
    hard = np.random.default_rng(1).integers(0, 10, 50)
    first = [Errors(10, int(n), 0, 0, 1, 0) for n in hard]
    worse = [Errors(10, int(n), 1, 0, 1, 0) for n in hard]  # one word more, whatever the utterance
    chance = [Errors(10, int(n), 0, 0, 1, 0) for n in hard[::-1]]
    alone = interval(first)
    assert alone is not None
    assert alone[1] - alone[0] > 0.1
    assert interval(first, worse) == pytest.approx((0.1, 0.1))
    low, high = interval(first, chance) or (1, 1)
    assert low < 0 < high


@pytest.mark.parametrize(("module", "name"), [("jiwer", "jiwer"), ("whisper_normalizer.english", "whisper-normalizer")])
def test_without_what_the_extra_brings_it_is_named(monkeypatch: pytest.MonkeyPatch, module: str, name: str) -> None:
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(EngineError, match=rf"needs {name}: pip install 'erc-live\[bench\]'"):
        compare(["one"], "one", normaliser("en"))

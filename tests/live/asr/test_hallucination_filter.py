"""When words are believed: before the recogniser, in it and after it."""

from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.asr.hallucination_filter import CredibleLimits, audible, repeats

words = st.lists(st.sampled_from(["a", "bad", "cat", "don't", "ever", "fly"]), max_size=30)


@dataclass
class Said:
    text: str = "Fine, thanks."
    avg_logprob: float = -0.3
    no_speech_prob: float = 0.1
    compression_ratio: float = 1.2
    tokens: list[int] = field(default_factory=lambda: [1, 2, 3])


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        (Said(), True),
        (Said(avg_logprob=-1.1), False),
        (Said(no_speech_prob=0.9, avg_logprob=-0.6), False),
        (Said(no_speech_prob=0.9, avg_logprob=-0.2), True),  # sure of its words: speech, whatever the other number says
        (Said(text="no no no no no no no", compression_ratio=3.0), False),
        (Said(text=" Thank you."), True),
        (Said(text=" Thank you.", avg_logprob=-0.6), False),
        (Said(text="Thanks for watching!", no_speech_prob=0.7), False),
        (Said(text="Thank you for watching the cat.", avg_logprob=-0.6), True),
    ],
)
def test_gates(said: Said, believed: bool) -> None:
    assert CredibleLimits().accept(said) is believed


def tone(seconds: float, amplitude: float, offset: int = 0) -> np.ndarray:
    time_s = np.arange(int(seconds * 16_000)) / 16_000
    return (amplitude * np.sin(2 * np.pi * 200 * time_s) + offset).astype(np.int16)


def test_too_short_and_too_quiet_is_not_listened_to() -> None:
    assert audible(tone(0.2, 1000))
    assert audible(np.concatenate([tone(1.0, 0), tone(0.05, 1000), tone(1.0, 0)]))
    assert not audible(tone(0.05, 1000))
    assert not audible(tone(2.0, 20))
    assert not audible(tone(2.0, 0, offset=5000))  # a microphone that is off by a constant is silent
    assert not audible(np.zeros(0, np.int16))


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", False),
        ("No, no, no!", False),
        ("I know. I know, I know.", False),
        ("ha ha ha ha ha ha ha ha", True),
        ("Well, I don't know. I don't know. I don't know. I don't know, really.", True),
        ("It is, it isn't, it is, it isn't.", False),
    ],
)
def test_people_say_things_again_and_recognisers_loop(text: str, loop: bool) -> None:
    assert repeats(text) is loop


@given(before=words, phrase=words.filter(bool).map(lambda w: w[:8]), after=words)
def test_every_loop_is_found_wherever_it_stands(before: list[str], phrase: list[str], after: list[str]) -> None:
    assert repeats(" ".join([*before, *phrase * 6, *after]))


@given(st.lists(st.integers(0, 10_000), unique=True, max_size=60))
def test_words_that_never_come_again_are_no_loop(numbers: list[int]) -> None:
    assert not repeats(" ".join(f"word{number}" for number in numbers))

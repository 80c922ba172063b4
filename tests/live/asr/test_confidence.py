"""How far words are believed: more the surer the recogniser, never wholly, and as a plain number."""

from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.asr.confidence import POCKETSPHINX, WHISPER

log_probabilities = st.floats(-30, 0)


@given(log_probabilities, log_probabilities)
def test_the_surer_a_recogniser_the_more_its_words_count(one: float, other: float) -> None:
    for calibration in (WHISPER, POCKETSPHINX):
        less, more = (calibration.confidence(x) for x in sorted((one, other)))
        assert 0 < less <= more < 1


def test_what_whisper_is_half_sure_of_counts_for_less_than_half() -> None:
    assert WHISPER.confidence(-0.1) > 0.8
    assert WHISPER.confidence(-1.0) < 0.45

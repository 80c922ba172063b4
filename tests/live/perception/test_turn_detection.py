"""The turn detector reads what it was trained on, tells finished from broken off, and says how to get it."""

from pathlib import Path

import numpy as np
import pytest
from sounds import read_pcm
from transformers import WhisperFeatureExtractor

from erc_live.live.config import PerceptionSection
from erc_live.live.errors import EngineError
from erc_live.live.perception.turn_detection import SmartTurn, missing_detector, open_turn_detector
from erc_live.models.weights import weight
from erc_live.streams.messages import SAMPLE_RATE_HZ

DEMO = Path(__file__).parents[3] / "live" / "demo"


@pytest.fixture(scope="module")
def detector(smart_turn: Path) -> SmartTurn:
    return SmartTurn(smart_turn)


@pytest.mark.real
@pytest.mark.parametrize("seconds", [0.0, 0.5, 3.0, 8.0, 11.0])
def test_features_are_those_of_the_published_recipe(detector: SmartTurn, seconds: float) -> None:
    """The last 8 s, zeros before what is shorter, brought to mean 0 and variance 1, as transformers computes them."""
    pcm = read_pcm(DEMO / "ada.flac")[: round(seconds * SAMPLE_RATE_HZ)]
    last = np.zeros(8 * SAMPLE_RATE_HZ, np.float32)
    if len(pcm):
        last[-len(pcm) :] = pcm[-len(last) :] / 32768.0
    recipe = WhisperFeatureExtractor(chunk_length=8)
    expected = recipe(last, sampling_rate=SAMPLE_RATE_HZ, return_tensors="np", do_normalize=True).input_features[0]
    features = detector.features(pcm)
    assert features.shape == expected.shape == (80, 800)
    assert np.abs(features - expected).max() < 2e-3


@pytest.mark.real
def test_what_is_finished_scores_above_what_breaks_off(detector: SmartTurn, shared_data: Path) -> None:
    """A recorded speech: at its end, and after words in the middle of it. Where a phrase ends it may say either."""
    pcm = read_pcm(shared_data / "recordings" / "jfk.flac")
    silence = np.zeros(round(0.2 * SAMPLE_RATE_HZ), np.int16)
    end = detector(np.concatenate([pcm[: round(10.6 * SAMPLE_RATE_HZ)], silence]))
    middles = [
        detector(np.concatenate([pcm[: round(s * SAMPLE_RATE_HZ)], silence])) for s in (1.3, 4.4, 5.0, 6.8, 7.5, 9.0)
    ]
    assert all(0 <= p <= 1 for p in middles)
    assert 1 >= end > 0.5 > max(middles)


@pytest.mark.real
def test_nothing_is_remembered(detector: SmartTurn) -> None:
    pcm = read_pcm(DEMO / "ben.flac")
    first = detector(pcm[: 5 * SAMPLE_RATE_HZ])
    detector(np.zeros(100, np.int16))
    assert detector(pcm[: 5 * SAMPLE_RATE_HZ]) == first
    assert 0 <= detector(np.zeros(0, np.int16)) <= 1


def test_without_its_weights_pauses_decide_and_one_line_says_how_to_get_them(tmp_path: Path) -> None:
    auto, wanted, none = (PerceptionSection(turn_detector=choice) for choice in ("auto", "smart-turn", "none"))
    assert open_turn_detector(auto, tmp_path) is open_turn_detector(none, tmp_path) is None
    assert "erc-live models fetch smart-turn" in missing_detector(auto, None)
    assert missing_detector(none, None) == ""
    with pytest.raises(EngineError, match="erc-live models fetch smart-turn"):
        open_turn_detector(wanted, tmp_path)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (file,) = weight("smart-turn").files
    path = tmp_path / "smart-turn" / file.path
    path.parent.mkdir()
    with path.open("wb") as damaged:
        damaged.truncate(file.size)
    with pytest.raises(EngineError, match="delete it, then erc-live models fetch smart-turn") as caught:
        open_turn_detector(PerceptionSection(), tmp_path)
    assert "\n" not in str(caught.value)

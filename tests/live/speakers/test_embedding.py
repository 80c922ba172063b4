"""An utterance is cut where another voice goes on, and nowhere else; the same samples give the same stretches."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sounds import read_pcm

from erc_live.live import config
from erc_live.live.speakers.embedding import SHORTEST, WINDOW, VoiceReader, open_voice_reader
from erc_live.streams.messages import SAMPLE_RATE_HZ

RATE_HZ = SAMPLE_RATE_HZ
DEMO = Path(__file__).parents[3] / "live" / "demo"
ADA = read_pcm(DEMO / "ada.flac")[round(27.1 * RATE_HZ) :][: 3 * RATE_HZ]


def spoken(name: str, seconds: float) -> np.ndarray:
    """So much of a voice of the demo, without its pauses."""
    pcm = read_pcm(DEMO / f"{name}.flac")
    steps = pcm[: len(pcm) // 160 * 160].reshape(-1, 160)
    loud = np.abs(steps.astype(np.int32)).max(1) > 500
    return steps[loud][: round(seconds * 100)].reshape(-1)


@pytest.fixture(scope="module")
def reader() -> VoiceReader:
    opened = open_voice_reader(config.SpeakersSection())
    assert opened is not None
    return opened


def test_who_is_alone_needs_no_reader() -> None:
    assert open_voice_reader(config.SpeakersSection(most=1)) is None


@pytest.mark.parametrize("order", [("ada", "ben"), ("ben", "ada")])
def test_an_answer_without_a_pause_is_an_utterance_of_its_own(reader: VoiceReader, order: tuple[str, str]) -> None:
    first, second = (spoken(name, 3.0) for name in order)
    stretches = reader.split(np.concatenate([first, second]))
    assert len(stretches) == 2
    assert abs(stretches[0].end - len(first)) < 0.4 * RATE_HZ
    alone = [reader.split(part)[0].embedding for part in (first, second)]
    likeness = [[float(s.embedding @ other) for other in alone] for s in stretches]  # type: ignore[operator]
    assert likeness[0][0] > likeness[0][1]
    assert likeness[1][1] > likeness[1][0]


@pytest.mark.parametrize("name", ["ada", "ben"])
def test_one_voice_is_one_stretch(reader: VoiceReader, name: str) -> None:
    assert len(reader.split(spoken(name, 8.0))) == 1


@settings(max_examples=25, deadline=None)
@given(
    samples=st.integers(0, 4 * RATE_HZ),
    kind=st.sampled_from(["speech", "silence", "noise", "clipped", "offset", "silence within"]),
)
def test_stretches_cover_the_utterance(reader: VoiceReader, samples: int, kind: str) -> None:
    generator = np.random.default_rng(samples)
    pcm = np.resize(ADA, samples)
    if kind == "silence":
        pcm = np.zeros(samples, np.int16)
    elif kind == "noise":
        pcm = generator.normal(0, 2_000, samples).astype(np.int16)
    elif kind == "clipped":
        pcm = np.where(pcm > 0, 32_767, -32_768).astype(np.int16)
    elif kind == "offset":
        pcm = (pcm // 2 + 9_000).astype(np.int16)
    elif kind == "silence within":
        pcm[len(pcm) // 3 :] = 0
    stretches = reader.split(pcm)
    assert (stretches[0].start, stretches[-1].end) == (0, len(pcm))
    assert all(one.end == other.start for one, other in pairwise(stretches))
    assert all(s.end - s.start >= 0.6 * WINDOW for s in stretches) or len(stretches) == 1
    for stretch in stretches:
        assert stretch.embedding is None or np.isfinite(stretch.embedding).all()


def test_too_little_and_silence_say_nothing(reader: VoiceReader) -> None:
    for pcm in (ADA[: SHORTEST - 1], np.zeros(2 * RATE_HZ, np.int16), np.zeros(0, np.int16)):
        assert [stretch.embedding for stretch in reader.split(pcm)] == [None]
    assert reader.split(ADA[:SHORTEST])[0].embedding is not None


def test_nothing_is_remembered(reader: VoiceReader) -> None:
    before = reader.split(ADA)
    reader.split(spoken("ben", 5.0))
    for one, other in zip(before, reader.split(ADA), strict=True):
        assert (one.start, one.end) == (other.start, other.end)
        assert np.array_equal(one.embedding, other.embedding)  # type: ignore[arg-type]

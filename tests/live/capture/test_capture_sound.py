"""Bad sound is told in words, an offset is taken out, and nothing else is touched."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erc_live.live.capture.sound_check import FILE_ZEROS_S, OFFSET_S, ZEROS_S, SoundCheck, level_db
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, AudioChunk, samples_to_ns


def chunks(pcm: np.ndarray) -> Iterator[AudioChunk]:
    for first in range(0, len(pcm), CHUNK_SAMPLES):
        yield AudioChunk(source="mic-0", t_ns=samples_to_ns(first), pcm=pcm[first : first + CHUNK_SAMPLES])


def voice(seconds: float, peak: float = 8000.0) -> np.ndarray:
    """Bursts of noise that fades, float (n,)."""
    n = int(seconds * SAMPLE_RATE_HZ)
    noise = np.random.default_rng(3).standard_normal(n)
    wave = noise * np.abs(np.sin(np.arange(n) * 2 * np.pi * 2 / SAMPLE_RATE_HZ)) ** 3
    return peak * wave / np.abs(wave).max()


def heard(check: SoundCheck, pcm: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """What comes out, and the note after each chunk."""
    out, notes = [], []
    for chunk in chunks(pcm.clip(-32768, 32767).astype(np.int16)):
        out.append(check.take(chunk).pcm)
        notes.append(check.note)
    return np.concatenate(out), notes


@pytest.mark.parametrize("medium", ["device", "file", "bundle"])
@pytest.mark.parametrize("peak", [5.0, 500.0, 32767.0])
def test_good_sound_passes_unchanged_and_without_a_word(medium, peak):
    pcm = voice(6.0, peak).astype(np.int16)
    out, notes = heard(SoundCheck(medium, 48_000), pcm)
    assert np.array_equal(out, pcm)
    assert set(notes) == {""}


@pytest.mark.parametrize("offset", [400, -3000, 12_000])
def test_an_offset_is_gone_within_seconds_and_without_a_click(offset):
    sound = voice(12.0, 4000.0)
    check = SoundCheck("file", 16_000)
    out, notes = heard(check, sound + offset)
    assert "offset" in notes[-1]
    assert "offset" not in notes[10], "half a second is too little to tell"
    late = slice(int(4 * OFFSET_S * SAMPLE_RATE_HZ), None)
    assert np.abs(out[late] - sound[late]).max() <= 60
    assert np.abs(np.diff((sound + offset).astype(np.int16) - out.astype(int))).max() <= abs(offset) / 256 + 2
    assert check.level_db == pytest.approx(level_db(sound[-CHUNK_SAMPLES:]), abs=1.0)


def test_a_recorded_session_is_never_changed_again():
    pcm = (voice(6.0, 4000.0) + 3000).astype(np.int16)
    assert np.array_equal(heard(SoundCheck("bundle", 16_000), pcm)[0], pcm)


@pytest.mark.parametrize(("gain", "clips"), [(1.0, False), (1.05, False), (3.0, True), (30.0, True)])
def test_clipping_is_told_while_it_lasts(gain, clips):
    check = SoundCheck("device", 48_000)
    _, notes = heard(check, voice(6.0, 32767.0) * gain)
    assert ("clipping" in notes[-1]) == clips
    assert heard(check, voice(4.0))[1][-1] == ""


def test_a_muted_microphone_is_told_within_seconds_and_no_longer():
    check = SoundCheck("device", 48_000)
    _, notes = heard(check, np.zeros(int((ZEROS_S + 0.1) * SAMPLE_RATE_HZ)))
    assert notes[int(0.9 * len(notes))] == ""
    assert "muted" in notes[-1]
    assert check.level_db == pytest.approx(-90.3, abs=0.1)
    assert heard(check, voice(0.1))[1][-1] == ""


def test_a_file_may_be_silent_between_its_sentences_but_not_all_the_time():
    silence = np.zeros(int(2 * FILE_ZEROS_S * SAMPLE_RATE_HZ))
    assert set(heard(SoundCheck("file", 16_000), np.concatenate([voice(0.1), silence]))[1]) == {""}
    assert "all zero" in heard(SoundCheck("file", 16_000), silence)[1][-1]


def test_several_troubles_are_told_together_and_a_telephone_is_one():
    square = 32767 * np.sign(voice(6.0)) + 500
    note = heard(SoundCheck("file", 8_000), square)[1][-1]
    assert note.startswith("sound is clipping")
    assert note.endswith("recorded at 8 kHz: telephone quality")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.tuples(st.integers(-32768, 32767), st.integers(1, CHUNK_SAMPLES)), min_size=1, max_size=40))
def test_whatever_comes_leaves_in_its_length_and_time(pieces):
    check, t_ns = SoundCheck("file", 16_000), 0
    for value, size in pieces:
        chunk = AudioChunk(source="mic-0", t_ns=t_ns, pcm=np.full(size, value, np.int16))
        out = check.take(chunk)
        assert (out.source, out.t_ns, out.t_end_ns, out.pcm.dtype) == ("mic-0", t_ns, chunk.t_end_ns, np.int16)
        t_ns = out.t_end_ns


def test_levels():
    assert level_db(np.zeros(4, np.int16)) == pytest.approx(-90.3, abs=0.01)
    assert level_db(np.full(4, -32768, np.int16)) == pytest.approx(0.0)

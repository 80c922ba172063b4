"""The streaming speech detector: equal to the batched one, silent in silence, and clear when its network is gone."""

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest
from sounds import read_pcm

from erc_live.live.errors import EngineError
from erc_live.live.perception.vad import SileroVad
from erc_live.streams.messages import CHUNK_SAMPLES


@pytest.fixture
def windows(shared_data: Path) -> np.ndarray:
    pcm = read_pcm(shared_data / "recordings" / "jfk.flac")
    whole = len(pcm) // CHUNK_SAMPLES
    return pcm[: whole * CHUNK_SAMPLES].reshape(whole, CHUNK_SAMPLES)


def probabilities(vad: SileroVad, windows: np.ndarray) -> np.ndarray:
    return np.array([vad(window) for window in windows])


def test_step_by_step_equals_the_whole_file_at_once(windows: np.ndarray) -> None:
    from faster_whisper.vad import get_vad_model

    quiet = np.round(windows * 0.05).astype(np.int16)  # too quiet to be turned down
    # one more window, because the batched code zeroes the end of the last one in place
    padded = np.concatenate([quiet.ravel(), np.zeros(CHUNK_SAMPLES, np.int16)]).astype(np.float32) / 32768
    batched = get_vad_model()(padded).ravel()[:-1]
    stepwise = probabilities(SileroVad(), quiet)
    np.testing.assert_allclose(stepwise, batched, atol=0.02)  # the offset of a recording is not taken away there
    assert stepwise.max() > 0.9


def test_reset_forgets_everything(windows: np.ndarray) -> None:
    vad = SileroVad()
    first = probabilities(vad, windows[:60])
    assert not np.allclose(first, probabilities(vad, windows[:60]))
    vad.reset()
    np.testing.assert_array_equal(first, probabilities(vad, windows[:60]))


def test_two_streams_do_not_hear_each_other(windows: np.ndarray) -> None:
    alone = probabilities(SileroVad(), windows[:60])
    one, other = SileroVad(), SileroVad()
    together = []
    for window, noise in zip(windows[:60], windows[60:120], strict=True):
        together.append(one(window))
        other(noise)
    np.testing.assert_array_equal(alone, together)


def test_silence_is_not_speech() -> None:
    vad = SileroVad()
    assert max(vad(np.zeros(CHUNK_SAMPLES, np.int16)) for _ in range(300)) < 0.05


def test_a_voice_is_heard_as_well_when_it_is_loud_and_when_the_microphone_has_an_offset(windows: np.ndarray) -> None:
    quiet = np.round(windows * 0.05)
    heard = probabilities(SileroVad(), quiet.astype(np.int16)) > 0.5
    for spoilt in (quiet * 10, quiet + 8_000):
        assert np.mean(heard == (probabilities(SileroVad(), spoilt.astype(np.int16)) > 0.5)) > 0.9


def test_a_clipped_voice_is_heard(windows: np.ndarray) -> None:
    clipped = np.clip(windows.astype(np.int32) * 20, -32_768, 32_767).astype(np.int16)
    assert np.mean(probabilities(SileroVad(), clipped) > 0.3) > 0.5


@pytest.mark.parametrize("shape", [(511,), (1, 512), (0,)])
def test_only_whole_windows_are_heard(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="512 samples"):
        SileroVad()(np.zeros(shape, np.int16))


def test_a_package_without_the_network_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    spec = ModuleSpec("faster_whisper", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(EngineError, match=r"silero_vad_v6\.onnx"):
        SileroVad()


def test_a_damaged_network_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "silero_vad_v6.onnx").write_bytes(b"half a download")
    spec = ModuleSpec("faster_whisper", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(EngineError, match="reinstall faster-whisper"):
        SileroVad()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match="pip install"):
        SileroVad()

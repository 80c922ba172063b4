"""The first layers of Whisper are the published ones, and an utterance costs its own length."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sounds import read_pcm

from erc_live.models.encoders.ctranslate2_file import read_variables
from erc_live.models.encoders.voice import samples
from erc_live.models.encoders.whisper_encoder import (
    LAYERS,
    LONGEST,
    MEL_BANDS,
    STATE,
    WhisperEncoder,
    WhisperMel,
    published,
    sinusoids,
)

SPEECH = read_pcm(Path(__file__).parents[2] / "live" / "demo" / "ada.flac")[: 3 * 16_000]


def test_the_log_mel_is_that_of_whisper_but_for_the_edges() -> None:
    theirs = pytest.importorskip("faster_whisper.feature_extractor").FeatureExtractor()
    ours = WhisperMel()(samples(SPEECH)[None])[0].numpy()
    expected = theirs(SPEECH.astype(np.float32) / 32_768, padding=0)
    assert ours.shape == expected.shape == (MEL_BANDS, 300)
    assert np.abs(ours - expected)[:, 2:-2].max() < 1e-5


@pytest.mark.real
def test_states_are_those_of_the_recogniser() -> None:
    ctranslate2 = pytest.importorskip("ctranslate2")
    from erc_live.live import config
    from erc_live.live.session.weight_cache import models_folder

    folder = models_folder(config.load().config.models) / "tiny.en"
    variables = read_variables(folder / "model.bin", "encoder/")
    ours = WhisperEncoder().eval()
    ours.load_state_dict(published(variables, LAYERS))
    places = variables["encoder/position_encodings/encodings"].float()
    torch.testing.assert_close(sinusoids(LONGEST // 2), places, atol=1e-3, rtol=0)  # theirs are of half precision
    log_mel = WhisperMel()(samples(SPEECH)[None])
    theirs = ctranslate2.models.Whisper(str(folder), compute_type="float32", intra_threads=1)
    expected = torch.from_numpy(np.array(theirs.encode(ctranslate2.StorageView.from_array(log_mel.numpy()))))
    norm = (variables[f"encoder/layer_norm/{part}"].float() for part in ("gamma", "beta"))
    with torch.inference_mode():
        last = torch.nn.functional.layer_norm(ours(log_mel)[-1], (STATE,), *norm)
    torch.testing.assert_close(last, expected, atol=0.01, rtol=0)  # of values up to 10


def test_an_utterance_costs_its_own_length_up_to_half_a_minute() -> None:
    encoder, mel = WhisperEncoder(1).eval(), WhisperMel()
    for seconds, frames in ((0.3, 30), (2.0, 200), (31.0, LONGEST)):
        log_mel = mel(torch.randn(1, round(16_000 * seconds)))
        assert log_mel.shape == (1, MEL_BANDS, frames)
        if frames < LONGEST:
            with torch.inference_mode():
                states = encoder(log_mel)
            assert [state.shape for state in states] == [(1, frames // 2, STATE)] * 2


def conversion(path: Path, variables: dict[str, np.ndarray], version: int = 6) -> Path:
    """A file as a converter for CTranslate2 writes it."""

    def number(value: int, size: int = 4) -> bytes:
        return value.to_bytes(size, "little")

    def name(text: str) -> bytes:
        return number(len(text) + 1, 2) + text.encode() + b"\0"

    kinds = {"float32": 0, "int8": 1, "float16": 4}
    content = number(version) + name("WhisperSpec") + number(3) + number(len(variables))
    for called, values in variables.items():
        content += name(called) + number(values.ndim, 1) + b"".join(map(number, values.shape))
        content += number(kinds[values.dtype.name], 1) + number(values.nbytes) + values.tobytes()
    path.write_bytes(content)
    return path


def test_variables_are_read_by_the_beginning_of_their_names(tmp_path: Path) -> None:
    half, single = np.arange(6, dtype=np.float16).reshape(2, 3), np.array([0.1, 0.2], np.float32)
    heads = np.array(6, np.int8)
    path = conversion(tmp_path / "m", {"decoder/a": single, "encoder/a": half, "encoder/b": single, "encoder/h": heads})
    found = read_variables(path, "encoder/")
    assert list(found) == ["encoder/a", "encoder/b"]
    assert torch.equal(found["encoder/a"], torch.from_numpy(half))
    assert torch.equal(found["encoder/b"], torch.from_numpy(single))


def test_what_is_no_such_file_is_refused(tmp_path: Path) -> None:
    path = conversion(tmp_path / "m", {"encoder/a": np.ones(8, np.float32)}, version=5)
    with pytest.raises(ValueError, match="begins with 5"):
        read_variables(path, "")
    whole = conversion(path, {"encoder/a": np.ones(8, np.float32)}).read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="ends too soon"):
            read_variables(path, "")


def test_variables_that_are_missing_are_named() -> None:
    with pytest.raises(KeyError, match="encoder/conv1/weight"):
        published({}, 1)

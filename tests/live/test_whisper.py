"""faster-whisper's own code on a tiny random model: deterministic, gated, offline, and safe where CUDA is broken."""

import logging
import shutil
import socket
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.engines import whisper
from erc_live.live.engines.whisper import Gates, Whisper, cuda_failure, find_model
from erc_live.live.errors import EngineError
from erc_live.models import weights

OPEN = Gates(no_speech_prob=1.0, avg_logprob=-1e9, compression_ratio=1e9)  # random weights are never sure


@dataclass
class Said:
    text: str = "Fine, thanks."
    avg_logprob: float = -0.3
    no_speech_prob: float = 0.1
    compression_ratio: float = 1.2
    tokens: list[int] = field(default_factory=lambda: [1, 2, 3])


def choice(model: Path, **keys: object) -> config.Transcriber:
    return config.Transcriber(model=str(model), device="cpu", **keys)


def sound(seed: int, seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3000, int(seconds * 16_000)).astype(np.int16)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a recogniser opened the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
def test_the_same_sound_gives_the_same_words_whatever_came_before(tiny_model: Path) -> None:
    engine = Whisper(choice(tiny_model), tiny_model, OPEN)
    first = engine.recognise(sound(1))
    assert first[0]
    assert 0 < (first[1] or 0) <= 1
    assert engine.recognise(sound(2)) != first
    assert engine.recognise(sound(1)) == first
    assert Whisper(choice(tiny_model), tiny_model, OPEN).recognise(sound(1)) == first


def test_its_name_tells_model_precision_and_device(tiny_model: Path) -> None:
    assert Whisper(choice(tiny_model), tiny_model).name.startswith("faster-whisper converted int8")
    assert (
        Whisper(choice(tiny_model, compute_type="float32"), tiny_model).name == "faster-whisper converted float32 cpu"
    )


def test_text_that_no_gate_believes_is_no_text(tiny_model: Path) -> None:
    engine = Whisper(choice(tiny_model), tiny_model, Gates(avg_logprob=0.0))
    engine.warm_up()
    assert engine.recognise(sound(1)) == ("", None)


def test_the_length_of_the_text_is_bounded_by_the_length_of_the_sound(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Whisper(choice(tiny_model), tiny_model, OPEN)
    asked: list[int] = []

    class Decoder:
        def transcribe(self, samples: np.ndarray, **options: int) -> tuple[list[Said], None]:
            asked.append(options["max_new_tokens"])
            return [], None

    monkeypatch.setattr(engine, "_model", Decoder())
    for seconds in (0.5, 5.0, 15.0):
        assert engine.recognise(sound(0, seconds)) == ("", None)
    assert asked == [26, 116, 224]


@pytest.mark.parametrize(
    ("said", "believed"),
    [
        (Said(), True),
        (Said(avg_logprob=-1.1), False),
        (Said(no_speech_prob=0.9, avg_logprob=-0.6), False),
        (Said(no_speech_prob=0.9, avg_logprob=-0.2), True),  # sure of its words: speech, whatever the other number says
        (Said(text="no no no no no no no", compression_ratio=3.0), False),
    ],
)
def test_gates(said: Said, believed: bool) -> None:
    assert Gates().accept(said) is believed


@pytest.mark.parametrize("missing", ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"])
@pytest.mark.usefixtures("no_network")
def test_an_incomplete_folder_is_refused_before_anything_asks_the_hub(
    tiny_model: Path, tmp_path: Path, missing: str
) -> None:
    broken = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (broken / missing).unlink()
    with pytest.raises(EngineError, match="it has no " + missing.split(".")[0]):
        find_model(str(broken), tmp_path)


def test_a_damaged_model_is_named(tiny_model: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (broken / "model.bin").write_bytes(b"half a download")
    with pytest.raises(EngineError, match=r"cannot load .*model"):
        Whisper(choice(broken), broken)


def test_a_precision_that_does_not_exist_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="int3"):
        Whisper(choice(tiny_model, compute_type="int3"), tiny_model)


def test_a_language_that_it_does_not_know_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="language 'klingon'"):
        Whisper(choice(tiny_model, language="klingon"), tiny_model)


@pytest.mark.usefixtures("no_network")
def test_a_model_is_looked_for_in_three_places(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model("base.en", tmp_path) is None
    assert find_model("no-such-model", tmp_path) is None
    assert find_model(str(tiny_model), tmp_path) == tiny_model
    monkeypatch.setattr(whisper, "_cached", lambda name: tmp_path / name)
    assert find_model("base.en", tmp_path) == tmp_path / "base.en"
    monkeypatch.setattr(whisper, "locate", lambda name, folder: weights.weight(name) and folder / "fetched")
    assert find_model("base.en", tmp_path) == tmp_path / "fetched"


def test_the_cuda_probe_survives_a_machine_without_cuda(tiny_model: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has CUDA")
    assert cuda_failure(tiny_model, "auto")


@pytest.mark.gpu
def test_the_cuda_probe_finds_a_gpu(tiny_model: Path) -> None:
    assert cuda_failure(tiny_model, "auto") is None


def test_a_probe_that_is_killed_is_a_failure_with_a_reason(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper, "_PROBE", "import os; os.abort()")
    assert cuda_failure(tiny_model, "auto")
    with pytest.raises(EngineError, match=r"ended with code .*ctranslate2 \d"):
        Whisper(config.Transcriber(model=str(tiny_model), device="cuda"), tiny_model)


def test_broken_cuda_falls_back_to_the_cpu_with_a_warning(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(whisper, "_PROBE", "import sys; sys.exit('libcudnn_ops.so.9: no such file')")
    with caplog.at_level(logging.WARNING):
        engine = Whisper(config.Transcriber(model=str(tiny_model)), tiny_model)
    assert engine.name.endswith("cpu")
    assert "libcudnn_ops.so.9" in caplog.text
    assert "ctranslate2 4" in caplog.text

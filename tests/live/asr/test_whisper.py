"""faster-whisper's own code on a tiny random model: deterministic, gated, offline, and safe where CUDA is broken."""

import logging
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.asr import whisper
from erc_live.live.asr.hallucination_filter import Gates
from erc_live.live.asr.whisper import (
    Model,
    Segment,
    Whisper,
    choose_model,
    cuda_failure,
    find_model,
    recommended,
    smaller_model,
)
from erc_live.live.bench.recordings import read
from erc_live.live.demo.recognition import words
from erc_live.live.errors import EngineError
from erc_live.models import weights

OPEN = Gates(no_speech_prob=1.0, avg_logprob=-1e9, compression_ratio=1e9)  # random weights are never sure


def open_whisper(folder: Path, gates: Gates = OPEN, **keys: object) -> Whisper:
    return Whisper(config.Transcriber(model=str(folder), **keys), Model(str(folder), folder), gates)


def texts(engine: Whisper, pcm: np.ndarray) -> list[str]:
    return [segment.text for segment in engine.recognise(pcm)[0]]


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
    engine = open_whisper(tiny_model)
    first = texts(engine, sound(1))
    assert first
    assert texts(engine, sound(2)) != first
    assert texts(engine, sound(1)) == first
    assert texts(open_whisper(tiny_model), sound(1)) == first


def test_words_have_times_within_the_sound(tiny_model: Path) -> None:
    (segment, *_), _ = open_whisper(tiny_model).recognise(sound(1, 3.0))
    assert segment.words
    times = [time for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 3.1
    assert all(0 <= word.probability <= 1 for word in segment.words)
    (plain, *_), _ = open_whisper(tiny_model).recognise(sound(1, 3.0), with_words=False)
    assert (plain.text, plain.words) == (segment.text, None)


class Encoded:
    """What the encoder of a recogniser was given."""

    def __init__(self, engine: Whisper) -> None:
        self.windows: list[np.ndarray] = []
        self._encode = engine._encode
        engine._encode = self

    def __call__(self, features: np.ndarray) -> object:
        self.windows.append(features)
        return self._encode(features)


def test_a_short_window_holds_the_sound_and_enough_silence_in_whole_seconds(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    for seconds, frames in ((0.4, 1500), (3.0, 1500), (7.01, 1600), (14.0, 2200), (21.99, 3000), (30.0, 3000)):
        encoded = Encoded(engine)
        assert texts(engine, sound(1, seconds))
        assert [window.shape[-1] for window in encoded.windows[:1]] == [frames]
        assert len(encoded.windows) <= 2
    assert texts(engine, np.zeros(16_000, np.int16)) is not None  # all mels of silence are equal, and it is encoded


def test_after_the_sound_stands_the_silence_that_whisper_was_trained_on(tiny_model: Path) -> None:
    for short in (True, False):
        encoded = Encoded(engine := open_whisper(tiny_model, short_windows=short))
        texts(engine, sound(1, 2.0))
        for window in encoded.windows:
            assert np.ptp(window[:, 200:]) == 0
            assert window[:, 200:].max() == pytest.approx(window[:, :200].max() - 2.0)


def test_what_is_not_believed_in_a_short_window_is_heard_again_in_a_whole_one(tiny_model: Path) -> None:
    encoded = Encoded(engine := open_whisper(tiny_model, Gates(avg_logprob=0.0)))
    assert texts(engine, sound(1)) == []
    assert [window.shape[-1] for window in encoded.windows] == [1500, 3000]


def test_a_text_that_did_not_come_to_an_end_is_not_believed_in_a_short_window(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    (segment, *_), _ = engine.recognise(sound(1))
    most = engine._most_tokens(32_000)
    ended, endless = (SimpleNamespace(**segment.__dict__ | {"tokens": [1] * n}) for n in (most - 1, most))
    assert engine._credible([ended], 32_000)
    assert not engine._credible([endless], 32_000)
    assert not engine._credible([], 32_000)


@pytest.mark.real
def test_clear_speech_is_understood_in_short_windows_and_in_whole_ones(tiny_en: Path, shared_data: Path) -> None:
    pcm = read(shared_data / "recordings" / "jfk.flac")
    said = (shared_data / "recordings" / "jfk.txt").read_text(encoding="utf-8")
    for short in (True, False):
        engine = open_whisper(tiny_en, Gates(), short_windows=short)
        segments, language = engine.recognise(pcm)
        assert words(" ".join(segment.text for segment in segments)) == words(said)
        assert language == "en"


@pytest.mark.real
def test_noise_is_no_words(tiny_en: Path) -> None:
    engine = open_whisper(tiny_en, Gates())
    time = np.arange(48_000) / 16_000
    hum = (9000 * np.sign(np.sin(2 * np.pi * 50 * time))).astype(np.int16)
    for noise in (sound(1, 1.0), sound(2, 3.0), hum, np.zeros(32_000, np.int16)):
        assert texts(engine, noise) == []


def test_a_multilingual_model_is_asked_for_the_language_of_what_it_encoded(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    assert engine.recognise(sound(1))[1] == "en"
    several = SimpleNamespace(detect_language=lambda encoded: [[(f"<|{encoded}|>", 0.9), ("<|en|>", 0.1)]])
    engine._model, engine._language = SimpleNamespace(model=several), None  # no such model is small
    engine._encode = lambda features: "de"
    assert engine._encode_window(np.ones((80, 3000))) == "de"
    assert engine._detected == "de"


def test_languages_are_asked_of_the_model_only_where_it_knows_several() -> None:
    assert whisper._language("auto", ["en", "de"], "base") is None
    assert whisper._language("auto", ["en"], "base.en") == "en"
    with pytest.raises(EngineError, match=r"base\.en does not know the language 'de': choose a multilingual"):
        whisper._language("de", ["en"], "base.en")


def test_its_name_tells_model_precision_and_device(tiny_model: Path) -> None:
    assert open_whisper(tiny_model).name.startswith("faster-whisper converted int8")
    assert open_whisper(tiny_model, compute_type="float32").name == "faster-whisper converted float32 cpu"


def test_text_that_no_gate_believes_is_no_text(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model, Gates(avg_logprob=0.0))
    engine.warm_up()
    assert texts(engine, sound(1)) == []


def test_the_length_of_the_text_is_bounded_by_the_length_of_the_sound(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_whisper(tiny_model)
    asked: list[int] = []

    class Decoder:
        def transcribe(self, samples: np.ndarray, **options: int) -> tuple[list[Segment], None]:
            asked.append(options["max_new_tokens"])
            return [], None

    monkeypatch.setattr(engine, "_model", Decoder())
    for seconds in (0.5, 5.0, 15.0):
        assert texts(engine, sound(0, seconds)) == []
    assert asked == [11, 11, 51, 51, 141, 141]  # nothing came, so each is tried again in a whole window


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
        open_whisper(broken)


def test_a_precision_that_does_not_exist_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="int3"):
        open_whisper(tiny_model, compute_type="int3")


def test_a_language_that_it_does_not_know_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="language 'klingon'"):
        open_whisper(tiny_model, language="klingon")


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
        choose_model(config.Transcriber(model=str(tiny_model), device="cuda"), tiny_model.parent)


def test_broken_cuda_falls_back_to_the_cpu_with_a_warning(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(whisper, "_PROBE", "import sys; sys.exit('libcudnn_ops.so.9: no such file')")
    with caplog.at_level(logging.WARNING):
        model = choose_model(config.Transcriber(model=str(tiny_model)), tiny_model.parent)
    assert model == Model(str(tiny_model), tiny_model, "cpu")
    assert "libcudnn_ops.so.9" in caplog.text
    assert "ctranslate2 4" in caplog.text


class Disk:
    """Which models are on this disk, on a machine with so many cores and GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.setattr(whisper, "cuda_failure", lambda model, compute_type: None)

    def holds(self, *names: str, cores: int = 2, gpus: int = 0) -> None:
        self._patch.setattr(whisper, "_on_disk", lambda name, folder: Path(name) if name in names else None)
        self._patch.setattr(whisper, "_cores", lambda: cores)
        self._patch.setattr(whisper, "_cuda_devices", lambda: gpus)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


ALL = ("tiny", "tiny.en", "base", "base.en", "small", "small.en", "large-v3")


@pytest.mark.parametrize(
    ("here", "machine", "language", "chosen"),
    [
        (ALL, {}, "auto", "tiny.en"),
        (ALL, {"cores": 8}, "auto", "base.en"),
        (ALL, {"gpus": 1}, "en", "large-v3"),
        (("tiny.en", "small.en"), {"gpus": 1}, "auto", "small.en"),
        (ALL, {"cores": 8}, "de", "base"),
        (("tiny", "tiny.en"), {"cores": 8}, "auto", "tiny.en"),
        (("small.en", "large-v3"), {}, "auto", "small.en"),  # too slow, but it is what there is
        (("small.en",), {}, "de", None),
        ((), {}, "auto", None),
    ],
)
def test_the_best_model_here_that_the_machine_keeps_up_with(
    disk: Disk, here: tuple[str, ...], machine: dict[str, int], language: str, chosen: str | None
) -> None:
    disk.holds(*here, **machine)
    model = choose_model(config.Transcriber(language=language), Path())
    assert (model and model.name) == chosen
    assert model is None or model.device == ("cuda" if machine.get("gpus") else "cpu")


@pytest.mark.parametrize(
    ("machine", "keys", "name"),
    [
        ({}, {}, "tiny.en"),
        ({"cores": 4}, {}, "base.en"),
        ({"gpus": 1}, {}, "small.en"),
        ({"gpus": 1}, {"device": "cpu"}, "tiny.en"),
        ({"cores": 4}, {"language": "de"}, "base"),
        ({}, {"model": "large-v3"}, "large-v3"),
    ],
)
def test_what_is_recommended_fits_the_machine(
    disk: Disk, machine: dict[str, int], keys: dict[str, str], name: str
) -> None:
    disk.holds(**machine)
    assert recommended(config.Transcriber(**keys)) == name


def test_a_smaller_model_is_of_a_smaller_size_and_knows_the_same_languages(disk: Disk) -> None:
    disk.holds(*ALL)
    assert smaller_model(Model("small.en", Path()), "auto", Path()) == Model("base.en", Path("base.en"))
    assert smaller_model(Model("base", Path()), "auto", Path()) == Model("tiny", Path("tiny"))
    assert smaller_model(Model("base", Path()), "en", Path()) == Model("tiny.en", Path("tiny.en"))
    assert smaller_model(Model("tiny.en", Path()), "auto", Path()) is None
    assert smaller_model(Model("my/own", Path()), "auto", Path()) is None


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 2), (64, 4)])
def test_half_of_the_processors_recognise(disk: Disk, cores: int, threads: int) -> None:
    disk.holds(cores=cores)
    assert whisper._threads() == threads

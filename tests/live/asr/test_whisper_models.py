"""Which model is chosen on which machine, where models are looked for, and what is done where CUDA is broken."""

import logging
from pathlib import Path

import pytest

from erc_live.live import config
from erc_live.live.asr import whisper_models
from erc_live.live.asr.whisper_models import Model, choose_model, cuda_failure, find_model, recommended, smaller_model
from erc_live.live.errors import EngineError
from erc_live.models import weights


@pytest.mark.usefixtures("no_network")
def test_a_model_is_looked_for_in_three_places(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model("base.en", tmp_path) is None
    assert find_model("no-such-model", tmp_path) is None
    assert find_model(str(tiny_model), tmp_path) == tiny_model
    monkeypatch.setattr(whisper_models, "_cached", lambda name: tmp_path / name)
    assert find_model("base.en", tmp_path) == tmp_path / "base.en"
    monkeypatch.setattr(whisper_models, "locate", lambda name, folder: weights.weight(name) and folder / "fetched")
    assert find_model("base.en", tmp_path) == tmp_path / "fetched"


def test_a_copy_in_the_hub_s_cache_is_found_and_nothing_is_loaded_where_there_is_none(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("faster_whisper.utils.download_model", lambda name, local_files_only: str(tiny_model))
    assert find_model("tiny.en", tmp_path / "models") is None
    (tmp_path / "models--Systran--faster-whisper-tiny.en").mkdir()
    assert find_model("tiny.en", tmp_path / "models") == tiny_model
    assert find_model("turbo", tmp_path / "models") == tiny_model


def test_the_cuda_probe_survives_a_machine_without_cuda(tiny_model: Path) -> None:
    import ctranslate2

    if ctranslate2.get_cuda_device_count():
        pytest.skip("this machine has CUDA")
    assert cuda_failure(tiny_model, "auto")


@pytest.mark.gpu
def test_the_cuda_probe_finds_a_gpu(tiny_model: Path) -> None:
    assert cuda_failure(tiny_model, "auto") is None


def test_a_probe_that_is_killed_is_a_failure_with_a_reason(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whisper_models, "_PROBE", "import os; os.abort()")
    assert cuda_failure(tiny_model, "auto")
    with pytest.raises(EngineError, match=r"ended with code .*ctranslate2 \d"):
        choose_model(config.TranscriberSection(model=str(tiny_model), device="cuda"), tiny_model.parent)


def test_broken_cuda_falls_back_to_the_cpu_with_a_warning(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ctranslate2.get_cuda_device_count", lambda: 1)
    monkeypatch.setattr(whisper_models, "_PROBE", "import sys; sys.exit('libcudnn_ops.so.9: no such file')")
    with caplog.at_level(logging.WARNING):
        model = choose_model(config.TranscriberSection(model=str(tiny_model)), tiny_model.parent)
    assert model == Model(str(tiny_model), tiny_model, "cpu")
    assert "libcudnn_ops.so.9" in caplog.text
    assert "ctranslate2 4" in caplog.text


class Disk:
    """Which models are on this disk, on a machine with so many cores and GPUs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        monkeypatch.setattr(whisper_models, "cuda_failure", lambda model, compute_type: None)

    def holds(self, *names: str, cores: int = 2, gpus: int = 0) -> None:
        self._patch.setattr(whisper_models, "_on_disk", lambda name, folder: Path(name) if name in names else None)
        self._patch.setattr(whisper_models, "_cores", lambda: cores)
        self._patch.setattr(whisper_models, "_cuda_devices", lambda: gpus)


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
    model = choose_model(config.TranscriberSection(language=language), Path())
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
    assert recommended(config.TranscriberSection(**keys)) == name


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
    assert whisper_models.threads() == threads

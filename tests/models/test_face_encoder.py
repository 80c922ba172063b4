"""What the face encoder promises: answers that depend on one face alone, and weights that are what their card says."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from erc_live.models.card import PRETRAINED
from erc_live.models.corpora import ferplus
from erc_live.models.encoders.face import FACE_LABELS, KIND, FaceEncoder, FaceNetwork, standardise
from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.errors import WeightsError
from erc_live.models.training.encoder_evaluation import evaluate_face
from erc_live.models.training.face_dataset import FaceDataset
from erc_live.models.training.face_images import DEGRADATIONS
from erc_live.models.weights import sha256

SMALL = {"widths": (8, 16), "depths": (1, 1)}
SHIPPED = PRETRAINED / "face"


@pytest.fixture(scope="module")
def encoder() -> FaceEncoder:
    torch.manual_seed(0)
    return FaceEncoder(FaceNetwork(**SMALL), "small")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    save_file(FaceNetwork(**SMALL).state_dict(), tmp_path / WEIGHTS)
    card = {"format": KIND.format, "labels": FACE_LABELS, "network": SMALL, "sha256": sha256(tmp_path / WEIGHTS)}
    (tmp_path / CARD).write_text(json.dumps(card))
    return tmp_path


def faces(n: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures with something to see in them, of mid grey."""
    small = np.random.default_rng(seed).integers(80, 130, (n, 6, 6))
    return np.kron(small, np.ones((8, 8))).astype(np.uint8)


@given(n=st.integers(0, 70), seed=st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_a_row_of_log_probabilities_for_each_face(encoder: FaceEncoder, n: int, seed: int) -> None:
    rows = encoder(faces(n, seed))
    assert rows.shape == (n, len(FACE_LABELS))
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.exp(rows).sum(1), 1.0, atol=1e-5)


@given(place=st.integers(0, 66), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_other_faces_do_not_matter(encoder: FaceEncoder, place: int, seed: int) -> None:
    many = faces(67, seed)
    np.testing.assert_allclose(encoder(many)[place], encoder(many[place : place + 1])[0], atol=1e-5)


@given(contrast=st.floats(0.5, 1.5), brightness=st.integers(-35, 55))
@settings(max_examples=20, deadline=None)
def test_brightness_and_contrast_hardly_matter(encoder: FaceEncoder, contrast: float, brightness: int) -> None:
    plain = faces(4)
    other = np.clip(np.round((plain.astype(float) - 105) * contrast + 105 + brightness), 0, 255).astype(np.uint8)
    np.testing.assert_allclose(encoder(other), encoder(plain), atol=0.02)  # grey levels are whole numbers


def test_a_mirror_image_has_the_same_answer(encoder: FaceEncoder) -> None:
    np.testing.assert_allclose(encoder(faces(3)[:, :, ::-1]), encoder(faces(3)), atol=1e-5)


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_grey_has_a_finite_answer(encoder: FaceEncoder, level: int) -> None:
    flat = np.full((1, 48, 48), level, np.uint8)
    assert np.isfinite(encoder(flat)).all()
    assert not standardise(torch.from_numpy(flat)).any()


@pytest.mark.parametrize(
    "wrong", [np.zeros((1, 48, 47), np.uint8), np.zeros((48, 48), np.uint8), np.zeros((1, 48, 48))]
)
def test_what_is_no_face_is_refused(encoder: FaceEncoder, wrong: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"uint8 \(n, 48, 48\)"):
        encoder(wrong)


def test_loaded_weights_are_named_by_their_bytes(folder: Path) -> None:
    assert FaceEncoder.load(folder).fingerprint == sha256(folder / WEIGHTS)[:12]


def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"no card\.json"):
        FaceEncoder.load(tmp_path)


def test_damaged_weights_are_refused(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1])
    with pytest.raises(WeightsError, match=r"not the file that card\.json describes"):
        FaceEncoder.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": ["joy"]}, "no card of face weights"),
        ({"format": "erc.face/0"}, "no card of face weights"),
        ({"sha256": None}, "no card of face weights"),
        ({"network": {"widths": [8, 24], "depths": [1, 1]}}, "does not fit the network"),
        ({"network": {"sides": [8]}}, "does not fit the network"),
    ],
)
def test_a_card_of_something_else_is_refused(folder: Path, change: dict[str, object], message: str) -> None:
    card = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps(card | change))
    with pytest.raises(WeightsError, match=message):
        FaceEncoder.load(folder)


def test_shipped_weights_are_small_and_say_where_they_come_from() -> None:
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) <= 3_000_000
    card = json.loads((SHIPPED / CARD).read_text())
    assert {"corpus", "source", "licence", "limits", "command", "seed"} <= card["training"].keys()
    assert set(card["scores"]) == {"dev", *(f"dev, {name}" for name in DEGRADATIONS)}


def test_shipped_weights_reach_what_their_card_says(shared_data: Path) -> None:
    """On every fourth face; the card is about all of them."""
    found = ferplus.read(shared_data / "ferplus", "dev")
    part = FaceDataset.of(torch.from_numpy(found.pixels[::4]), torch.from_numpy(found.votes[::4]))
    encoder, card = FaceEncoder.load(SHIPPED), json.loads((SHIPPED / CARD).read_text())
    for names in ((), ("small",)):
        scores, promised = evaluate_face(encoder, part, names), card["scores"][", ".join(("dev", *names))]
        assert scores.accuracy == pytest.approx(promised["accuracy"], abs=0.025)  # two standard errors of the part


def test_a_copied_folder_is_the_same_encoder(tmp_path: Path) -> None:
    shutil.copytree(SHIPPED, tmp_path / "copy")
    copied, shipped = FaceEncoder.load(tmp_path / "copy"), FaceEncoder.load(SHIPPED)
    assert copied.fingerprint == shipped.fingerprint
    np.testing.assert_array_equal(copied(faces(2)), shipped(faces(2)))

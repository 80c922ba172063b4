"""Training of the face network: it learns, it can be interrupted, it writes what it measured; and what votes mean."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor
from worlds import Epochs, Interrupted

from erc_live.models.encoders.face import FACE_LABELS, FaceEncoder
from erc_live.models.encoders.folder import CARD, WEIGHTS
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.encoder_evaluation import FaceScores, evaluate_face
from erc_live.models.training.face_dataset import FaceDataset, copied, pictures_alike
from erc_live.models.training.face_task import FaceTraining, train_face, votes_temperature
from erc_live.models.training.trainer import RESUME

SMALL = {"widths": (8, 16), "depths": (1, 1)}
FEW = FaceTraining(epochs=3, batch=16, network=SMALL)
HAPPY, SAD = 1, 3


def votes(*pairs: tuple[int, int]) -> Tensor:
    row = torch.zeros(10, dtype=torch.uint8)
    for column, count in pairs:
        row[column] = count
    return row


def marked(n: int, seed: int = 0) -> FaceDataset:
    """FaceDataset that are bright below (happy) or above (sad), in turn."""
    pictures = torch.randint(60, 120, (n, 48, 48), generator=Generator().manual_seed(seed), dtype=torch.uint8)
    rows = torch.stack([votes((HAPPY if i % 2 else SAD, 9), (0, 1)) for i in range(n)])
    pictures[1::2, 26:] += 100
    pictures[::2, :22] += 100
    return FaceDataset.of(pictures, rows)


@pytest.fixture(scope="module")
def data() -> dict[str, FaceDataset]:
    return {"train": marked(64), "dev": marked(32, seed=1)}


def test_single_votes_are_noise_and_the_rest_are_shares() -> None:
    faces = FaceDataset.of(torch.zeros(1, 48, 48, dtype=torch.uint8), votes((HAPPY, 6), (SAD, 2), (0, 1), (8, 1))[None])
    expected = torch.zeros(8)
    expected[HAPPY], expected[SAD] = 0.75, 0.25
    torch.testing.assert_close(faces.shares[0], expected)
    assert faces.labels.tolist() == [HAPPY]
    assert faces.clear.tolist() == [True]


def test_what_most_people_could_not_name_is_left_out() -> None:
    rows = torch.stack([
        votes((8, 6), (HAPPY, 4)), votes((9, 9), (0, 1)), votes(*((c, 1) for c in range(10))), votes((HAPPY, 5), (8, 5))
    ])  # fmt: skip
    faces = FaceDataset.of(torch.zeros(4, 48, 48, dtype=torch.uint8), rows)
    assert faces.labels.tolist() == [HAPPY]
    assert faces.clear.tolist() == [False]


def test_clear_is_what_has_more_than_half_of_the_votes_that_count() -> None:
    rows = torch.stack([
        votes((HAPPY, 5), (SAD, 2), (0, 1), (4, 1), (8, 1)),  # 5 of 7: single votes are dropped, also from the sum
        votes((HAPPY, 4), (SAD, 2), (8, 2), (0, 1), (4, 1)),  # 4 of 8: those who could not name it count
        votes((HAPPY, 5), (SAD, 5)),
    ])  # fmt: skip
    assert FaceDataset.of(torch.zeros(3, 48, 48, dtype=torch.uint8), rows).clear.tolist() == [True, False, False]


def photographs(n: int) -> Tensor:
    """Pictures of soft shades, each of its own."""
    coarse = torch.rand(n, 1, 8, 8, generator=Generator().manual_seed(2))
    shades = torch.nn.functional.interpolate(coarse, size=48, mode="bilinear")[:, 0]
    return (40 + 150 * shades).to(torch.uint8)


def test_a_darker_noisier_copy_is_a_copy_and_another_picture_is_not() -> None:
    pictures = photographs(6)
    noise = torch.randint(0, 9, (2, 48, 48), generator=Generator().manual_seed(3))
    again = (pictures[[4, 1]] * 0.6 + noise).to(torch.uint8)
    assert copied(pictures, again).tolist() == [False, True, False, False, True, False]
    assert not copied(pictures, pictures.flip(1)).any()


def test_copies_of_copies_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("erc_live.models.training.face_dataset.AT_ONCE", 2)
    steps = photographs(2).float()
    chain = [steps[0].lerp(steps[1], share) for share in (0.0, 0.13, 0.26)]  # each near the next, the ends are not
    pictures = torch.stack([chain[2], steps[1], chain[0], photographs(3)[2].float(), chain[1]]).to(torch.uint8)
    assert not copied(pictures[:1], pictures[2:3]).any()
    assert pictures_alike(pictures) == [0, 1, 0, 3, 0]


def test_pictures_that_others_hold_are_left_out() -> None:
    pictures = photographs(3)
    faces = FaceDataset.of(pictures, torch.stack([votes((label, 9)) for label in (HAPPY, SAD, 0)]))
    left = faces.apart_from(pictures[1:2])
    assert left.labels.tolist() == [HAPPY, 0]
    assert torch.equal(left.pictures, pictures[[0, 2]])
    assert (len(left.shares), len(left.clear)) == (2, 2)


def test_it_learns_what_can_be_seen(data: dict[str, FaceDataset], tmp_path: Path) -> None:
    config = FaceTraining(epochs=8, batch=16, learning_rate=1e-2, network=SMALL)
    encoder = train_face(data, tmp_path, config, {})
    assert evaluate_face(encoder, data["dev"]).accuracy >= 0.95


def test_a_resumed_run_gives_the_weights_of_one_that_was_not_interrupted(
    data: dict[str, FaceDataset], tmp_path: Path
) -> None:
    reports = Epochs()
    train_face(data, tmp_path / "whole", FEW, {}, reports)
    with pytest.raises(Interrupted):
        train_face(data, tmp_path / "parts", FEW, {}, Epochs(last=1))
    assert [path.name for path in (tmp_path / "parts").iterdir()] == [RESUME]
    rest = Epochs()
    train_face(data, tmp_path / "parts", FEW, {}, rest)
    assert rest == reports[2:]
    assert (tmp_path / "parts" / WEIGHTS).read_bytes() == (tmp_path / "whole" / WEIGHTS).read_bytes()
    assert not (tmp_path / "parts" / RESUME).exists()


def test_an_unfinished_run_with_other_settings_is_refused(data: dict[str, FaceDataset], tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train_face(data, tmp_path, FEW, {}, Epochs(last=0))
    with pytest.raises(WeightsError, match="other data or options"):
        train_face(data, tmp_path, FaceTraining(seed=1, epochs=3, batch=16, network=SMALL), {})


def test_the_card_says_what_the_files_reach(data: dict[str, FaceDataset], tmp_path: Path) -> None:
    written = train_face(data, tmp_path, FEW, {"licence": "none"})
    loaded = FaceEncoder.load(tmp_path)
    card = json.loads((tmp_path / CARD).read_text())
    assert loaded.fingerprint == written.fingerprint
    assert card["scores"]["dev"] == json.loads(json.dumps(asdict(evaluate_face(loaded, data["dev"]))))
    assert card["scores"]["dev, dark"] == json.loads(json.dumps(asdict(evaluate_face(loaded, data["dev"], ("dark",)))))
    assert card["training"]["licence"] == "none"
    assert card["training"]["seed"] == 0


@pytest.mark.parametrize("empty", ["train", "dev"])
def test_without_labelled_faces_it_says_so(data: dict[str, FaceDataset], tmp_path: Path, empty: str) -> None:
    nothing = FaceDataset.of(torch.zeros(1, 48, 48, dtype=torch.uint8), votes((9, 10))[None])
    with pytest.raises(CorpusError, match=f"no labelled faces in {empty}"):
        train_face({**data, empty: nothing}, tmp_path, FEW, {})
    with pytest.raises(CorpusError, match="no faces to score"):
        evaluate_face(FaceEncoder.load(train_face(data, tmp_path, FEW, {}) and tmp_path), nothing)


def test_scores_of_known_answers() -> None:
    rows = torch.stack([votes((HAPPY, 10)), votes((HAPPY, 10)), votes((SAD, 10)), votes((SAD, 4), (0, 3), (HAPPY, 3))])
    faces = FaceDataset.of(torch.zeros(4, 48, 48, dtype=torch.uint8), rows)
    answers = torch.tensor([HAPPY, SAD, SAD, HAPPY])
    scores = FaceScores.of(5.0 * torch.nn.functional.one_hot(answers, 8).float(), faces)
    assert (scores.faces, scores.clear_faces) == (4, 3)
    assert scores.accuracy == pytest.approx(0.5)
    assert scores.clear_accuracy == pytest.approx(2 / 3)
    assert scores.recall == {"happiness": 0.5, "sadness": 0.5}
    assert sum(map(sum, scores.confusion)) == 4
    assert scores.confusion[SAD][HAPPY] == 1


def test_the_temperature_is_the_one_that_makes_shares_likely() -> None:
    shares = torch.rand(200, len(FACE_LABELS), generator=Generator().manual_seed(0)).softmax(1)
    assert votes_temperature(3.0 * shares.log(), shares) == pytest.approx(3.0, rel=0.01)

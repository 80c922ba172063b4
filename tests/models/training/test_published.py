"""The releases' own ways to train, and what their losses take from the train split."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from worlds import CALM, CONFIG, LABELS, dataset

from erc_live.models.errors import CorpusError
from erc_live.models.losses import UNLABELLED
from erc_live.models.training.class_statistics import alpha, frequencies, from_train, out_of_fold_confusion, similarity
from erc_live.models.training.dialogue_dataset import DialogueDataset, EncodedDialogues, Example
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.graph_task import GraphTask, JointNetwork, genders_of
from erc_live.models.training.published import SCRIPTS, as_published
from erc_live.models.training.published_task import PublishedTask, schedule
from erc_live.models.training.trainer import Plateau, plateau_share, rate_share

SIX = ("angry", "excited", "frustrated", "happy", "neutral", "sad")  # another order than the release's
TINY = {
    "context_width": 8,
    "graph_width": 6,
    "head_width": 6,
    "heads": 2,
    "bases": 2,
    "text_dim": 0,
    "audio_dim": 15,
    "window": 2,
}


@pytest.fixture(scope="module")
def data() -> EncodedDialogues:
    return dataset(12, 6).ready(dataset(12, 6).train, None, dataset(12, 6).dev)


def config(data: DialogueDataset, network: str, labels: tuple[str, ...]) -> TrainConfig:
    return as_published(TrainConfig(network), replace(data, labels=labels))


@pytest.mark.parametrize(
    ("network", "labels", "expected"),
    [  # rate, decay, epochs, dialogues of a step, AdamW, shuffled, classes weighed
        ("multiemo", SIX, (1e-4, 1e-5, 100, 64, False, True, True)),
        ("multiemo", LABELS, (1e-4, 1e-5, 15, 100, False, True, True)),
        ("vuemo", SIX, (1e-4, 3e-5, 100, 16, True, False, True)),
        ("vuemo", LABELS, (2e-5, 3e-5, 100, 16, True, True, False)),
        ("hgf_milag", SIX, (3e-4, 1e-8, 80, 32, False, False, False)),
        ("safsd_glnet", SIX, (1e-4, 1e-5, 80, 16, False, True, True)),
        ("safsd_glnet", LABELS, (1e-4, 1e-5, 80, 16, False, True, True)),
    ],
)
def test_the_numbers_of_the_releases(network: str, labels: tuple[str, ...], expected: tuple[object, ...]) -> None:
    found = config(dataset(2, 2), network, labels)
    how = found.published
    assert how is not None
    assert (found.rate, found.weight_decay, found.epochs) == expected[:3]
    assert (how.dialogues, how.decoupled, how.shuffled, how.weigh) == expected[3:]
    assert (found.clip, found.ema, found.balance, found.disturbance) == (0.0, 0.0, 0.0, CALM)
    assert found.patience >= found.epochs
    assert how.plateau == (Plateau(0.95, 10, 1e-6) if network == "multiemo" else None)


def test_the_sizes_of_the_releases_for_iemocap() -> None:
    data = dataset(2, 2)
    assert config(data, "multiemo", SIX).sizes == {
        "layers": 6, "hidden": 256, "speakers": 2, "text_context": True, "two_sided_context": True,
        "swfc_share": 0.4, "hgr_share": 0.4, "alpha": 1.1, "gamma": 2.4, "temperature": 0.8,
    }  # fmt: skip
    assert config(data, "vuemo", SIX).sizes == {"focal": 0.0, "speakers": 2}
    assert all(not scripts["MELD"].sizes for scripts in SCRIPTS.values())
    own = as_published(TrainConfig("multiemo", {"layers": 1}, epochs=3), replace(data, labels=SIX), ("epochs",))
    assert (own.sizes["layers"], own.sizes["hidden"], own.epochs, own.rate) == (1, 256, 3, 1e-4)


def test_the_schedule_of_a_release_is_one_rate_and_its_plateau_that_of_torch() -> None:
    assert [rate_share(done, 0.0, 1.0) for done in (0.001, 0.5, 1.0)] == [1.0, 1.0, 1.0]
    assert schedule(CONFIG) == {}
    assert schedule(config(dataset(2, 2), "vuemo", LABELS)) == {
        "warm_up": 0.0, "fall_from": 1.0, "plateau": None, "decoupled": True,
    }  # fmt: skip
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = ReduceLROnPlateau(optimizer, factor=0.5, patience=2, threshold=0.1)
    losses: list[float] = []
    for loss in (3.0, 2.0, 1.95, 1.9, 1.85, 1.0, 1.1, 1.2, 1.3, 1.4, 0.99, 0.98, 0.2):
        losses.append(loss)
        theirs.step(loss)
        assert plateau_share(losses, Plateau(0.5, 2, 0.1)) == optimizer.param_groups[0]["lr"]
    assert plateau_share(losses, Plateau(0.5, 2, 0.1)) == 0.125


def test_a_step_is_of_so_many_dialogues_and_only_where_the_release_shuffles_in_another_order(
    data: EncodedDialogues,
) -> None:
    asked = config(dataset(2, 2), "hgf_milag", LABELS)
    assert asked.published is not None
    network = JointNetwork("hgf_milag", {"classes": 2, **TINY}, None)
    names = [one.name for one in data.train]
    for shuffled in (False, True):
        how = replace(asked.published, dialogues=5, shuffled=shuffled)
        task = PublishedTask(network, data, replace(asked, published=how))
        steps = task.batches(0, torch.Generator().manual_seed(0))
        assert [len(step) for step in steps] == [5, 5, 2]
        drawn = [one.name for step in steps for one in step]
        assert (drawn == names, sorted(drawn)) == (not shuffled, sorted(names))
        assert [group["weight_decay"] for group in task.groups] == [1e-8]
    with torch.no_grad():
        scores = task.score(network.eval())
        losses = [float(task.loss(network, step, torch.Generator())) for step in (data.dev[:5], data.dev[5:])]
    assert list(scores) == ["W-F1", "loss"]  # the first chooses the epoch
    assert scores["loss"] == pytest.approx(sum(losses) / 2)


def with_genders(example: Example, genders: Tensor) -> Example:
    return replace(example, genders=genders)


def test_gender_heads_learn_from_a_corpus_that_names_genders(data: EncodedDialogues) -> None:
    network = JointNetwork("hgf_milag", {"classes": 2, "genders": 2, "dropout": 0.0, **TINY}, None)
    batch = [with_genders(one, one.utterances.speakers.clamp(max=1)) for one in data.train[:3]]
    task = GraphTask(network, data, TrainConfig("hgf_milag"))
    task.loss(network, batch, torch.Generator()).backward()
    slopes = [p.grad for p in network.model.genders.parameters()]
    assert all(slope is not None and slope.abs().sum() > 0 for slope in slopes)
    network.zero_grad()
    task.loss(network, data.train[:3], torch.Generator()).backward()
    assert not any(p.grad.any() for p in network.model.genders.parameters())
    found = genders_of([batch[0], data.train[0]])
    assert found.tolist() == [batch[0].genders.tolist(), [UNLABELLED] * len(batch[0])]


def test_gender_heads_without_genders_are_refused(data: EncodedDialogues) -> None:
    from erc_live.models.training.graph_task import new_network

    class Text:
        dim = 4

    asked = TrainConfig("hgf_milag", {"genders": 2, **TINY})
    with pytest.raises(CorpusError, match="names no gender of its speakers"):
        new_network(data, Text(), asked)  # type: ignore[arg-type]


def talks(draw: torch.Generator, centres: Tensor) -> list[Example]:
    """Twenty dialogues whose audio lies around the centre of its label."""
    found = []
    for example in dataset(20, 2).train:
        labels = torch.randint(len(centres), (len(example),), generator=draw)
        audio = centres[labels] + 0.5 * torch.randn(len(labels), centres.shape[1], generator=draw)
        found.append(replace(example, labels=labels, utterances=replace(example.utterances, audio=audio)))
    return found


def test_similar_classes_are_those_that_are_taken_for_each_other(data: EncodedDialogues) -> None:
    centres = torch.tensor([[0.0, 0.0], [0.6, 0.0], [0.0, 9.0]])
    mine = replace(data, labels=("a", "b", "c"), train=talks(torch.Generator().manual_seed(0), centres))
    found = torch.tensor(similarity(mine))
    assert found.diagonal().tolist() == [1.0, 1.0, 1.0]
    assert found[0, 1] == found[1, 0] > 0.2
    assert max(found[0, 2], found[1, 2]) < 0.1
    counted = out_of_fold_confusion(mine.train, 3)
    labels = torch.cat([one.labels for one in mine.train])
    assert counted.sum(1).tolist() == torch.bincount(labels, minlength=3).tolist()


def test_no_dialogue_is_answered_by_what_it_taught(data: EncodedDialogues) -> None:
    """Labels that are drawn: vectors that name each utterance would give them all away, and do not."""
    draw = torch.Generator().manual_seed(0)
    mine, place = talks(draw, torch.zeros(2, 200)), 0
    for number, one in enumerate(mine):
        audio = torch.eye(200)[place : place + len(one)]
        place += len(one)
        mine[number] = replace(one, utterances=replace(one.utterances, audio=audio))
    counted = out_of_fold_confusion(mine, 2)
    assert counted.diagonal().sum() / counted.sum() < 0.75


def test_weights_of_the_classes_are_those_of_train(data: EncodedDialogues) -> None:
    mine = replace(data, labels=("a", "b", "c"), counts=torch.tensor([6, 2, 0]))
    torch.testing.assert_close(frequencies(mine.counts), torch.tensor([6.0, 2.0, 1.0]) / 9)
    assert from_train("vuemo", mine, weigh=False) == {}
    assert from_train("vuemo", mine, weigh=True)["class_weights"] == pytest.approx([1.5, 4.5, 9.0])
    assert alpha(mine) == pytest.approx([3 / 18, 7 / 18, 8 / 18])


def test_iemocap_gets_the_released_numbers_in_the_order_of_its_labels(data: EncodedDialogues) -> None:
    mine = replace(data, labels=SIX)
    assert alpha(mine) == (0.1667, 0.1725, 0.1506, 0.1807, 0.1585, 0.1707)
    found = dict(zip(SIX, similarity(mine), strict=True))
    assert dict(zip(SIX, found["frustrated"], strict=True)) == {
        "happy": 0.3, "sad": 0.8, "neutral": 0.3, "angry": 0.5, "excited": 0.4, "frustrated": 1.0,
    }  # fmt: skip
    counts = torch.tensor([504, 839, 1324, 933, 742, 1468])  # of the release's own order
    rule = (1 - frequencies(counts)) / 5
    released = torch.tensor([0.1807, 0.1707, 0.1585, 0.1667, 0.1725, 0.1506])
    assert (rule - released).abs().max() < 0.005

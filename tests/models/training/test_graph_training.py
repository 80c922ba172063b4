"""Training on a small language with a known law: it learns it, repeats itself exactly, also after a break, and tells
the truth about itself.
"""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from worlds import CONFIG, LABELS, TUNED, Epochs, Interrupted, bert, dataset

from erc_live.models import checkpoint
from erc_live.models.card import WEIGHTS
from erc_live.models.encoders.text import TextEncoder, TextHead
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training.confidences import calibrated, present
from erc_live.models.training.dialogue_dataset import DialogueDataset, encoded, fitting, only
from erc_live.models.training.evaluation import classify
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.graph_training import train_graph
from erc_live.models.training.metrics import Scores
from erc_live.models.training.trainer import RESUME

pytestmark = pytest.mark.xdist_group("graph_training")  # what its fixtures train is trained once


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def tuned(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two seeds that also trained the encoder."""
    out = tmp_path_factory.mktemp("tuned")
    watch = Epochs()
    config = replace(TUNED, seeds=(3, 4))
    loaded = train_graph(dataset(), encoder, config, Run(out, out / "cache", "erc-live train", watch=watch))
    by_seed = {seed: max(e.scores["W-F1"] for e in watch if e.seed == seed) for seed in (3, 4)}
    assert loaded.card.training["seed"] == max(by_seed, key=lambda seed: by_seed[seed])
    assert set(loaded.card.training["seeds"]["weighted_f1"]["by_seed"]) == {"3", "4"}
    assert loaded.card.training["command"] == "erc-live train"
    assert loaded.card.training["curve"]["dev_weighted_f1"] == [
        e.scores["W-F1"] for e in watch if e.seed == loaded.card.training["seed"]
    ]
    return out


def rescored(run: Path, data: DialogueDataset, shown: tuple[str, ...] = ("text", "audio", "visual")) -> Scores:
    loaded = checkpoint.load(str(run))
    text = TextEncoder.load(loaded.text_folder)
    loaded.check_encoders({"text": text.fingerprint})
    dev = only(fitting(encoded(data.dev, text, run / "cache"), loaded.model), shown)
    answers = calibrated(classify(loaded.model, dev), loaded.card, present(dev))
    return Scores.of(answers, loaded.card.labels, loaded.card.abstain_below)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {name: value.nan_to_num() for name, value in load_file(folder / WEIGHTS).items()}


def same(first: Path, second: Path) -> bool:
    one, two = weights(first), weights(second)
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


def test_it_learns_words_and_context_and_the_card_is_true(tuned: Path) -> None:
    scores, card = rescored(tuned, dataset()), checkpoint.load(str(tuned)).card
    assert scores.weighted_f1 > 0.9  # without the context 0.8 would be possible
    assert scores.weighted_f1 == card.scores["dev"]["weighted_f1"]
    assert scores.calibration.error == pytest.approx(card.scores["dev"]["calibration"]["error"])
    assert rescored(tuned, dataset(), ("audio",)).weighted_f1 < 0.7
    assert card.encoders["audio"] == "prosody/1"
    assert "visual" not in card.encoders
    assert card.config["visual_dim"] == 0  # nobody was seen, so nothing is known about faces


def test_every_seed_is_kept(tuned: Path) -> None:
    for seed in (3, 4):
        folder = tuned / f"seed-{seed}"
        assert checkpoint.load(str(folder)).card.training["seed"] == seed
        assert sorted(p.name for p in folder.iterdir()) == ["card.json", "model.safetensors", "text"]
    best = checkpoint.load(str(tuned)).card.training["seed"]
    assert same(tuned, tuned / f"seed-{best}")


def test_the_same_seed_gives_the_same_weights(tuned: Path, encoder: Path, tmp_path: Path) -> None:
    train_graph(dataset(), encoder, replace(TUNED, seeds=(4,)), Run(tmp_path, tmp_path / "cache"))
    assert same(tmp_path, tuned / "seed-4")
    assert same(tmp_path / "text", tuned / "seed-4" / "text")


PLAIN = replace(CONFIG, ema=0.0, balance=0.5)


@pytest.mark.parametrize("config", [CONFIG, TUNED, PLAIN], ids=("still", "tuned", "plain"))
def test_an_interrupted_run_ends_as_if_it_had_not_been(config: TrainConfig, encoder: Path, tmp_path: Path) -> None:
    config, data = replace(config, seeds=(0, 1), epochs=3), dataset(20, 8)
    train_graph(data, encoder, config, Run(tmp_path / "whole", tmp_path / "cache"))
    broken = Run(tmp_path / "broken", tmp_path / "cache", watch=Epochs(last=1, seed=1))
    with pytest.raises(Interrupted):
        train_graph(data, encoder, config, broken)
    assert not (tmp_path / "broken" / "card.json").exists()
    again = Epochs()
    train_graph(data, encoder, config, replace(broken, resume=True, watch=again))
    assert [(epoch.seed, epoch.epoch) for epoch in again] == [(1, 2)]  # what follows on the epoch that was reported
    for part in (".", "seed-0", "seed-1"):
        assert same(tmp_path / "whole" / part, tmp_path / "broken" / part)
    assert not list(tmp_path.rglob(RESUME))


def test_a_run_with_other_options_is_not_gone_on_with(encoder: Path, tmp_path: Path) -> None:
    data, run = dataset(10, 5), Run(tmp_path, tmp_path / "cache", watch=Epochs(last=1))
    with pytest.raises(Interrupted):
        train_graph(data, encoder, CONFIG, run)
    with pytest.raises(WeightsError, match="of a run with other data or options"):
        train_graph(data, encoder, replace(CONFIG, rate=1e-3), replace(run, resume=True, watch=lambda _: None))
    (tmp_path / "seed-0" / RESUME).write_bytes(b"torn")
    with pytest.raises(WeightsError, match="is damaged"):
        train_graph(data, encoder, CONFIG, replace(run, resume=True))


def test_a_still_encoder_is_kept_beside_the_weights_and_its_vectors_are_cached(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, config = dataset(20, 8), replace(CONFIG, epochs=2)
    train_graph(data, encoder, config, Run(tmp_path / "a", tmp_path / "cache"))
    own = TextEncoder.load(tmp_path / "a" / "text")
    assert checkpoint.load(str(tmp_path / "a")).card.encoders["text"] == own.fingerprint
    monkeypatch.setattr(TextEncoder, "encode", lambda *_: pytest.fail("encoded again"))
    train_graph(data, encoder, config, Run(tmp_path / "b", tmp_path / "cache"))
    assert same(tmp_path / "a", tmp_path / "b")


def test_training_goes_on_from_weights_and_learns_a_modality_that_they_lacked(encoder: Path, tmp_path: Path) -> None:
    data = dataset(20, 8)
    read = replace(CONFIG, modalities=("text",), epochs=4)
    first = train_graph(data, encoder, read, Run(tmp_path / "first", tmp_path / "cache"))
    assert first.card.config["audio_dim"] == 0
    still = replace(CONFIG, start=str(tmp_path / "first"), rate=0.0, epochs=1)
    second = train_graph(data, tmp_path / "first" / "text", still, Run(tmp_path / "second", tmp_path / "cache"))
    assert second.card.config["audio_dim"] == 15
    assert rescored(tmp_path / "second", data, ("text",)).weighted_f1 == first.card.scores["dev"]["weighted_f1"]
    wide, turned = replace(still, sizes=CONFIG.sizes | {"width": 8}), replace(data, labels=LABELS[::-1])
    with pytest.raises(WeightsError, match="other sizes than this run"):
        train_graph(data, encoder, wide, Run(tmp_path / "wide", tmp_path / "cache"))
    with pytest.raises(WeightsError, match="they must be the same"):
        train_graph(turned, encoder, still, Run(tmp_path / "turned", tmp_path / "cache"))


def test_a_graph_begins_with_what_its_encoder_answers_and_keeps_it(encoder: Path, tmp_path: Path) -> None:
    own, data = tmp_path / "text", dataset(20, 8)
    TextEncoder.load(encoder).save(own)
    torch.manual_seed(0)
    head = TextHead(LABELS, torch.randn(2, 16), torch.randn(2))
    head.save(own)
    loaded = train_graph(data, own, replace(CONFIG, epochs=1), Run(tmp_path / "run", tmp_path / "cache"))
    last = loaded.model.head[-1]
    divisor = loaded.card.scores["dev"]["temperature"]
    torch.testing.assert_close(last.weight[:, loaded.model.config.width :] * divisor, head.weight, atol=1e-3, rtol=1e-3)
    assert last.weight[:, : loaded.model.config.width].any()  # the graph has learnt
    found = TextEncoder.load(tmp_path / "run" / "text").head
    assert found is not None
    assert torch.equal(found.weight, head.weight)
    turned = replace(head, labels=LABELS[::-1])
    turned.save(own)  # of other labels, it says nothing here
    again = train_graph(data, own, replace(CONFIG, epochs=1), Run(tmp_path / "again", tmp_path / "cache"))
    assert not torch.allclose(again.model.head[-1].weight[:, 16:], head.weight / divisor, atol=0.1)


def test_what_is_kept_still_does_not_move_at_all(encoder: Path, tmp_path: Path) -> None:
    """Whatever the weight decay; the graph's part of the same weight learns."""
    own, data = tmp_path / "text", dataset(20, 8)
    TextEncoder.load(encoder).save(own)
    head = TextHead(LABELS, torch.randn(2, 16), torch.randn(2))
    head.save(own)
    config = replace(CONFIG, epochs=2, weight_decay=0.3)
    loaded = train_graph(data, own, config, Run(tmp_path / "run", tmp_path / "cache"))
    weight, width = loaded.model.head[-1].weight, loaded.model.config.width
    divisor = loaded.card.training["temperature"]
    torch.testing.assert_close(weight[:, width:] * divisor, head.weight, atol=1e-6, rtol=1e-6)
    assert weight[:, :width].any()


@pytest.mark.parametrize(("before", "after"), [(("audio",), ("text", "audio")), (("text", "audio"), ("audio",))])
def test_words_can_be_added_to_weights_without_and_left_out(
    encoder: Path, tmp_path: Path, before: tuple[str, ...], after: tuple[str, ...]
) -> None:
    """What the graph has learnt is taken over, its part of the head too; the words begin anew."""
    data, cache = dataset(20, 8), tmp_path / "cache"
    first = train_graph(data, encoder, replace(CONFIG, modalities=before, epochs=2), Run(tmp_path / "first", cache))
    config = replace(CONFIG, modalities=after, start=str(tmp_path / "first"), rate=0.0, epochs=1)
    second = train_graph(data, encoder, config, Run(tmp_path / "second", cache))
    assert bool(second.card.config["text_dim"]) == ("text" in after)
    graph = [one.model.head[-1].weight[:, : one.model.config.width] for one in (first, second)]
    torch.testing.assert_close(graph[1] * second.card.training["temperature"], graph[0])


def test_balance_favours_the_rare(encoder: Path, tmp_path: Path) -> None:
    data = dataset(60, 40)
    rare = [replace(e, labels=torch.where(torch.rand(len(e)) < 0.8, 0, e.labels)) for e in data.train]
    data, recall = replace(data, train=rare), {}
    for balance in (0.0, 1.0):
        config = replace(CONFIG, modalities=("audio",), balance=balance, epochs=6)
        loaded = train_graph(data, encoder, config, Run(tmp_path / str(balance), tmp_path / "cache"))
        recall[balance] = loaded.card.scores["dev"]["classes"]["anger"]["recall"]
    assert recall[0.0] < 0.2 < recall[1.0]


def test_without_patience_the_last_epoch_is_kept_whatever_dev_says(encoder: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, epochs=4, rate=0.5, patience=None)
    loaded = train_graph(dataset(10, 5), encoder, config, Run(tmp_path, tmp_path / "cache"))
    curve = loaded.card.training["curve"]["dev_weighted_f1"]
    assert loaded.card.training["epoch"] == len(curve) == 4
    assert loaded.card.training["dev_weighted_f1"] == curve[-1]


def test_a_folder_may_be_called_like_shipped_weights(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = train_graph(dataset(10, 5), encoder, replace(CONFIG, epochs=1), Run(Path("default"), tmp_path / "cache"))
    assert loaded.card == checkpoint.load(str(tmp_path / "default")).card


def test_patience_ends_a_run(encoder: Path, tmp_path: Path) -> None:
    config = replace(CONFIG, rate=0.0, epochs=20, patience=2)
    loaded = train_graph(dataset(10, 5), encoder, config, Run(tmp_path, tmp_path / "cache"))
    assert len(loaded.card.training["curve"]["loss"]) == 3


def test_nothing_to_learn_is_one_line(encoder: Path, tmp_path: Path) -> None:
    data, run = dataset(4, 2), Run(tmp_path, tmp_path / "cache")
    blank = [replace(e, labels=torch.full_like(e.labels, -100)) for e in data.train]
    with pytest.raises(CorpusError, match="no utterance of train has a label"):
        train_graph(replace(data, train=blank), encoder, CONFIG, run)
    with pytest.raises(CorpusError, match="no utterance of train has visual"):
        train_graph(data, encoder, replace(CONFIG, modalities=("visual",)), run)
    with pytest.raises(WeightsError, match="no network is called 'rnn'"):
        train_graph(data, encoder, replace(CONFIG, network="rnn"), run)
    with pytest.raises(WeightsError, match="cannot have these sizes"):
        train_graph(data, encoder, replace(CONFIG, sizes={"widht": 3}), run)


def test_a_poor_corpus_is_learnt_from_with_a_warning(encoder: Path, tmp_path: Path) -> None:
    data = replace(dataset(1, 1), labels=(*LABELS, "fear"))
    notes = data.check()
    assert "train is a single dialogue: its scores say little" in notes
    assert any(note.startswith("labelled utterances of dev: ") and note.endswith("say little") for note in notes)
    assert any(note.startswith("no utterance of train is labelled") and note.endswith("fear") for note in notes)
    loaded = train_graph(data, encoder, replace(CONFIG, epochs=1, balance=1.0), Run(tmp_path, tmp_path / "cache"))
    assert loaded.card.labels == (*LABELS, "fear")


def test_a_diverging_run_is_one_line(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="lower the rate"):
        train_graph(dataset(10, 5), encoder, replace(CONFIG, rate=1e30, clip=1e30), Run(tmp_path, tmp_path / "cache"))


def test_a_full_disk_is_one_line_and_leaves_nothing_half_written(
    encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(content: object, path: Path) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(WeightsError, match=r"^[^\n]*No space left on device[^\n]*make room[^\n]*$"):
        train_graph(dataset(10, 5), encoder, CONFIG, Run(tmp_path / "run", tmp_path / "cache"))
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and "encoder" not in path.parts]


def test_a_card_is_json_that_anybody_can_read(tuned: Path) -> None:
    card = json.loads((tuned / "card.json").read_text())
    assert card["training"]["options"]["tune_text"] is True
    assert card["scores"]["dev"]["temperature"] > 0

"""Training on a small language with a known law: the loop learns it, repeats itself exactly, and tells the truth."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_bert import DIM, make_tiny_bert

from erc_live.live import config as live_config
from erc_live.live.fetch import models_folder
from erc_live.models import checkpoint
from erc_live.models.card import ADAPTER, WEIGHTS
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import WeightsError
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig
from erc_live.models.training.augment import Disturbance
from erc_live.models.training.corpora import read_split
from erc_live.models.training.evaluate import classify, evaluate
from erc_live.models.training.examples import encoded, examples
from erc_live.models.training.train import Epoch, TrainConfig, train
from erc_live.models.weights import locate

SIZES = {"text_dim": DIM, "width": 16, "layers": 1, "heads": 2, "window": 3, "dropout": 0.0, "smoothing": 0.0}
CONFIG = TrainConfig(
    sizes=SIZES, epochs=5, batch_utterances=24, learning_rate=1e-2, adapter_rank=2, adapter_learning_rate=1e-2,
    disturbance=Disturbance(0.0, 0.0, 0.0, 0.0, 0.0),
)  # fmt: skip


def write_corpus(folder: Path) -> Path:
    """Joy and anger are in the words; after the word "well" an utterance expresses what the one before it did."""
    draw = random.Random(0)
    for split, size in (("train", 80), ("dev", 20)):
        lines = []
        for number in range(size):
            utterances = []
            for _ in range(draw.randint(2, 6)):
                emotion = draw.choice(("joy", "anger"))
                text = f"{draw.choice('abc')} {'great' if emotion == 'joy' else 'awful'}"
                if utterances and draw.random() < 0.4:
                    text, emotion = "well", utterances[-1]["emotion"]
                speaker, prosody = draw.choice("XY"), [draw.gauss(0, 1) for _ in range(8)]
                utterances.append({"speaker": speaker, "text": text, "emotion": emotion, "prosody": prosody})
            lines.append(json.dumps({"dialogue": str(number), "utterances": utterances}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines))
    return folder


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_tiny_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def run(corpus: Path, encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    seen: list[Epoch] = []
    config = replace(CONFIG, seeds=(3, 4))
    loaded = train(corpus, encoder, out, config, "erc-live train corpus", seen.append)
    assert [(report.seed, report.epoch) for report in seen] == [(s, e) for s in (3, 4) for e in range(5)]
    by_seed = {s: max(r.dev_weighted_f1 for r in seen if r.seed == s) for s in (3, 4)}
    assert loaded.card.training["dev_weighted_f1_by_seed"] == {str(s): score for s, score in by_seed.items()}
    assert loaded.card.training["command"] == "erc-live train corpus"
    return out


def test_it_learns_words_and_context_and_the_card_is_true(run: Path, corpus: Path, encoder: Path) -> None:
    scores = evaluate(corpus, "dev", encoder, str(run))
    assert scores.weighted_f1 > 0.9  # without the context 0.8 would be possible
    card = checkpoint.load(str(run)).card
    assert scores.weighted_f1 == card.scores["dev"]["weighted_f1"]
    assert scores.utterances == card.scores["dev"]["utterances"]
    assert evaluate(corpus, "dev", encoder, str(run), hide=("text",)).weighted_f1 < 0.7


def test_the_same_seed_gives_the_same_weights(run: Path, corpus: Path, encoder: Path, tmp_path: Path) -> None:
    by_seed = checkpoint.load(str(run)).card.training["dev_weighted_f1_by_seed"]
    chosen = 4 if by_seed["4"] >= by_seed["3"] else 3
    train(corpus, encoder, tmp_path, replace(CONFIG, seeds=(chosen,)))
    for name in (WEIGHTS, ADAPTER):
        first, second = load_file(run / name), load_file(tmp_path / name)
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_plain_encoder_needs_no_adapter_and_its_vectors_are_kept(
    corpus: Path, encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(CONFIG, adapter_rank=0, epochs=1)
    first = train(corpus, encoder, tmp_path, config)
    assert first.adapter is None
    monkeypatch.setattr(TextEncoder, "encode", lambda *_: pytest.fail("encoded again"))
    again = train(corpus, encoder, tmp_path, config)
    assert again.fingerprint == first.fingerprint


def test_training_goes_on_from_an_adapter(run: Path, corpus: Path, encoder: Path, tmp_path: Path) -> None:
    still = replace(CONFIG, adapter=str(run), adapter_rank=0, epochs=1)
    unmoved = replace(CONFIG, adapter=str(run), adapter_learning_rate=0.0, epochs=1)
    first = checkpoint.load(str(run))
    for name, config in (("still", still), ("unmoved", unmoved)):
        second = train(corpus, encoder, tmp_path / name, config)
        assert second.card.encoder == first.card.encoder
        assert second.fingerprint != first.fingerprint


def test_weights_of_another_encoder_are_refused(run: Path, corpus: Path, tmp_path: Path) -> None:
    other = make_tiny_bert(tmp_path, seed=1)
    with pytest.raises(WeightsError, match="expects text vectors of encoder"):
        evaluate(corpus, "dev", other, str(run))


def test_a_model_that_reads_the_future_is_found_out(corpus: Path, encoder: Path, tmp_path: Path) -> None:
    class Leaky(DialogueGraph):
        def forward(self, batch):
            return super().forward(batch).cumsum(1).flip(1)

    data = encoded(examples(read_split(corpus, "dev")), TextEncoder.load(encoder), tmp_path)
    with pytest.raises(RuntimeError, match="step and forward differ"):
        classify(Leaky(DialogueGraphConfig(**SIZES)).eval(), data)


@pytest.mark.slow
def test_the_shipped_weights_reach_the_score_on_their_card(shared_data: Path) -> None:
    encoder = locate("minilm", models_folder(live_config.Models()))
    if encoder is None:
        pytest.skip("needs the text encoder: erc-live models fetch minilm")
    scores = evaluate(shared_data / "meld", "dev", encoder)
    assert scores.weighted_f1 == pytest.approx(checkpoint.load("default").card.scores["dev"]["weighted_f1"], abs=0.003)

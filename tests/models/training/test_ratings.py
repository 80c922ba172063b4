"""Valence and arousal learnt from ratings: better than the places of the labels where ratings follow the words, at no
cost for the labels, and only where people rated.
"""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from worlds import CALM, CONFIG, LABELS, bert

from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models import checkpoint
from erc_live.models.card import WEIGHTS
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.encoders.text import TextEncoder
from erc_live.models.errors import CorpusError
from erc_live.models.training.augment import Disturbance
from erc_live.models.training.dialogue_dataset import FEW, DialogueDataset, encoded, examples, fitting
from erc_live.models.training.dimension_scores import dimension_scores, estimated
from erc_live.models.training.evaluation import classify
from erc_live.models.training.graph_config import Run, TrainConfig
from erc_live.models.training.graph_folds import train_folds
from erc_live.models.training.graph_training import train_graph
from erc_live.models.training.ratings import few_ratings, padded_ratings, rating_counts, ratings, with_dimensions
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import EmotionEvent, Modality, Recogniser, UtteranceFeatures

pytestmark = pytest.mark.xdist_group("graph_training")

SIZES = {**CONFIG.sizes, "text_alone": 0.0}
RATED = replace(CONFIG, sizes=SIZES, epochs=8, disturbance=CALM)
STRENGTH = {"awful": -0.8, "no": -0.3, "well": 0.0, "is": 0.3, "great": 0.8}  # words of the tiny vocabulary


def split(name: str, size: int, valence: float = 0.9, arousal: float = 0.0) -> Split:
    """Two labels, and words that say how much of them: within joy and within anger the ratings differ. `valence` and
    `arousal`: how probable it is that an utterance was rated on them.
    """
    draw = random.Random(name)

    def utterance() -> Utterance:
        word = draw.choice(list(STRENGTH))
        label = LABELS[int(STRENGTH[word] < 0.1)]
        rated = [STRENGTH[word] if draw.random() < share else None for share in (valence, arousal)]
        text = f"{draw.choice('abc')} {word}"
        return Utterance(draw.choice("XY"), text, label, valence=rated[0], arousal=rated[1])

    return Split(
        "rated", name, LABELS, tuple(Dialogue(str(n), tuple(utterance() for _ in range(5))) for n in range(size))
    )


def dataset(train: int = 60, dev: int = 30, **shares: float) -> DialogueDataset:
    parts = {name: examples(split(name, size, **shares), LABELS) for name, size in (("train", train), ("dev", dev))}
    return DialogueDataset(("rated",), LABELS, parts["train"], parts["dev"], {})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def trained(encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights that learnt valence from ratings of nine utterances in ten; arousal was never rated."""
    out = tmp_path_factory.mktemp("rated")
    train_graph(dataset(), encoder, RATED, Run(out, out / "cache"))
    return out


def test_learnt_valence_is_better_than_the_places_of_the_labels(trained: Path) -> None:
    loaded = checkpoint.load(str(trained))
    told = loaded.card.scores["dev"]["dimensions"]
    assert told.keys() == {"valence"}
    assert loaded.card.config["valence"]
    assert not loaded.card.config["arousal"]
    assert told["valence"]["ccc"] > 0.9
    assert told["valence"]["ccc_of_labels"] < 0.85
    low, high = told["valence"]["interval"]
    assert low <= told["valence"]["ccc"] <= high
    data = fitting(encoded(dataset().dev, TextEncoder.load(loaded.text_folder), trained / "cache"), loaded.model)
    answers = classify(loaded.model, data)  # by step and by forward, which agree
    score = dimension_scores(ratings(data), answers, LABELS, {})["valence"]
    assert score.learnt
    assert score.ccc == pytest.approx(told["valence"]["ccc"])


@pytest.mark.parametrize("disturbance", [CALM, Disturbance()], ids=["calm", "disturbed"])
def test_the_labels_are_learnt_as_without_ratings_to_the_last_bit(
    encoder: Path, tmp_path: Path, disturbance: Disturbance
) -> None:
    config = replace(RATED, epochs=2, disturbance=disturbance, sizes={**SIZES, "dropout": 0.3, "text_alone": 0.2})
    rated = dataset(arousal=0.7)
    plain = replace(
        rated,
        train=[replace(example, ratings=None) for example in rated.train],
        dev=[replace(example, ratings=None) for example in rated.dev],
    )
    for name, data in (("rated", rated), ("plain", plain)):
        train_graph(data, encoder, config, Run(tmp_path / name, tmp_path / "cache"))
    one, other = (load_file(tmp_path / name / WEIGHTS) for name in ("plain", "rated"))
    assert one.keys() == other.keys() - {"dimensions.weight", "dimensions.bias"}
    assert len(other["dimensions.bias"]) == 2
    assert all(torch.equal(value.nan_to_num(), other[name].nan_to_num()) for name, value in one.items())
    first, second = (checkpoint.load(str(tmp_path / name)).card for name in ("plain", "rated"))
    assert "dimensions" not in first.scores["dev"]
    assert first.scores["dev"]["weighted_f1"] == second.scores["dev"]["weighted_f1"]


def test_folds_learn_what_the_whole_learns_and_tell_of_it(encoder: Path, tmp_path: Path) -> None:
    data = dataset(40, 10, valence=0.9)  # 225 ratings of all, and fewer than are needed in the train part of a fold
    config = replace(RATED, folds=2, epochs=4)
    card = train_folds(data, encoder, config, Run(tmp_path, tmp_path / "cache")).card
    assert rating_counts(data.train)["valence"] < FEW <= rating_counts([*data.train, *data.dev])["valence"]
    found = card.scores["folds"]["dimensions"]["valence"]
    assert found["utterances"] == rating_counts([*data.train, *data.dev])["valence"]
    assert found["ccc"] > found["ccc_of_labels"]
    assert card.config["valence"]


def features(
    place: int, speaker: str, vectors: dict[Modality, np.ndarray], encoder: TextEncoder, confidence: float | None = None
) -> UtteranceFeatures:
    return UtteranceFeatures(
        dialogue="d", utterance=str(place), source="m", speaker_name=speaker, closed_by="silence", text="", words=(),
        text_confidence=confidence, skipped=False, face_coverage=None, final=True, revision=0,
        engine=Recogniser(name="e"), vectors=vectors, encoders={"text": encoder.fingerprint}, t_start_ns=0,
        t_end_ns=1, t_closed_ns=2, t_text_ns=3, t_features_ns=4,
    )  # fmt: skip


def test_words_that_may_be_misheard_count_in_valence_as_in_the_probabilities(trained: Path) -> None:
    loaded = checkpoint.load(str(trained))
    encoder = TextEncoder.load(loaded.text_folder)
    (vector,) = encoded(dataset(1, 1).dev[:1], encoder, trained / "cache")[0].utterances.text[:1].numpy()

    def observed(vectors: dict[Modality, np.ndarray], confidence: float | None = None) -> EmotionEvent:
        tracker = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
        return tracker.observe(features(0, "A", vectors, encoder, confidence))

    whole, without = observed({"text": vector}), observed({})
    assert whole.valence is not None
    assert without.valence is not None
    for share in (0.25, 0.75):
        mixed = observed({"text": vector}, share)
        assert mixed.valence == pytest.approx(share * whole.valence + (1 - share) * without.valence, abs=1e-5)
        assert mixed.probs["joy"] == pytest.approx(share * whole.probs["joy"] + (1 - share) * without.probs["joy"])


def test_a_session_says_what_was_learnt_and_the_places_of_the_labels_for_the_rest(trained: Path) -> None:
    loaded = checkpoint.load(str(trained))
    encoder = TextEncoder.load(loaded.text_folder)
    tracker = Tracker(loaded, SessionStart("s", 0, 0), ManualClock())
    assert tracker.hello().learnt == ("valence",)
    data = fitting(encoded(dataset().dev, encoder, trained / "cache"), loaded.model)[0]
    answers = classify(loaded.model, [data])
    assert answers.dimensions is not None
    for place, vector in enumerate(data.utterances.text):
        said = features(place, f"speaker {int(data.utterances.speakers[place])}", {"text": vector.numpy()}, encoder)
        event = tracker.observe(said)
        assert event.valence == pytest.approx(float(answers.dimensions[place, 0]), abs=1e-4)
        assert event.arousal == pytest.approx(0.48 * event.probs["joy"] + 0.59 * event.probs["anger"])
    assert tracker.abstain(said).valence is None  # nobody knows
    assert tracker.abstain(said).arousal is not None
    assert estimated(answers, LABELS, {})[-1] == (
        pytest.approx(event.valence, abs=1e-4),
        pytest.approx(event.arousal, abs=1e-4),
    )


def test_ratings_lie_beside_the_utterances_and_where_there_is_none_is_nan() -> None:
    data = dataset(4, 2, valence=0.5, arousal=0.5).train
    whole, padded = ratings(data), padded_ratings(data[:2])
    assert whole.shape == (20, 2)
    assert torch.equal(padded.flatten(0, 1).nan_to_num(9), whole[:10].nan_to_num(9))
    said = [u for dialogue in split("train", 4, 0.5, 0.5).dialogues for u in dialogue.utterances]
    assert [None if v != v else pytest.approx(v) for v in whole[:, 0].tolist()] == [u.valence for u in said]
    bare = dataset(1, 1, valence=0.0).train
    assert bare[0].ratings is None
    assert ratings(bare).isnan().all()


def test_few_ratings_are_told_and_teach_only_who_asks() -> None:
    few = dataset(10, 2).train
    assert "--size valence=true learns it all the same" in few_ratings(few)[0]
    assert with_dimensions(CONFIG, few).sizes == CONFIG.sizes
    asked = replace(CONFIG, sizes={"valence": True})
    assert with_dimensions(asked, few).sizes == {"valence": True}
    with pytest.raises(CorpusError, match="no rating of arousal"):
        with_dimensions(replace(CONFIG, sizes={"arousal": True}), few)
    many = dataset(60, 2).train
    assert few_ratings(many) == []
    assert with_dimensions(CONFIG, many).sizes == {**CONFIG.sizes, "valence": True}
    refused = replace(CONFIG, sizes={"valence": False})
    assert with_dimensions(refused, many).sizes == {"valence": False}
    assert with_dimensions(TrainConfig(network="multiemo"), many).sizes == {}  # as published


def test_a_run_can_begin_from_weights_with_other_dimensions(trained: Path, encoder: Path, tmp_path: Path) -> None:
    config = replace(RATED, epochs=1, start=str(trained))
    both = train_graph(dataset(arousal=0.9), encoder, config, Run(tmp_path / "both", tmp_path / "cache"))
    assert both.card.scores["dev"]["dimensions"].keys() == {"valence", "arousal"}
    none = train_graph(dataset(valence=0.0), encoder, config, Run(tmp_path / "none", tmp_path / "cache"))
    assert "dimensions" not in none.card.scores["dev"]

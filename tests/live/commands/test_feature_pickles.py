"""Published systems on the features they were published with: from their pickles to weights and scores, by commands."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import corpus, run
from feature_pickles import MELD, hgf_milag, multiemo, safsd_glnet, vuemo, write

from erc_live.live.commands.corpus import corpus_check, corpus_convert, corpus_stats
from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.experiment_attention import experiment_attention
from erc_live.live.commands.predict import predict
from erc_live.live.commands.train import train
from erc_live.live.config import load
from erc_live.live.session.engines import load_engines
from erc_live.models import checkpoint
from erc_live.models.card import Card
from erc_live.models.corpora import read
from erc_live.models.errors import WeightsError
from erc_live.models.training.augment import UNDISTURBED
from erc_live.models.training.published import SCRIPTS

SMALL = ("--epochs", 2, "--batch", 16)
TINY = ("--size", "width=8", "--size", "heads=2", "--size", "layers=1", "--size", "window=2")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("recipe", "causal"), [(("--batch", 16), "true"), (("--recipe", "published"), "false")], ids=["own", "published"]
)
@pytest.mark.parametrize(
    ("network", "kind", "make", "sizes"),
    [
        ("multiemo", "multiemo-pickles", multiemo, ("width=8", "heads=2")),
        ("vuemo", "vuemo-pickles", vuemo, ("width=8", "num_L=2")),
        ("hgf_milag", "hgf-milag-pickles", hgf_milag, ("context_width=8", "heads=2")),
        ("safsd_glnet", "safsd-glnet-pickles", safsd_glnet, ("width=8", "heads=2", "graph_width=8")),
    ],
)
def test_every_system_on_its_own_features(
    network: str,
    kind: str,
    make: Callable[[Path], Path],
    sizes: tuple[str, ...],
    recipe: tuple[object, ...],
    causal: str,
    tmp_path: Path,
) -> None:
    folder = make(tmp_path / "features")
    named = f"{kind}:{folder}"
    assert run(corpus_check, named) == (0, f"{named}: right\n")
    options = [part for size in (*sizes, f"causal={causal}") for part in ("--size", size)]
    asked = ("--network", network, "--corpus", named, "--epochs", 2, *recipe)
    code, text = run(train, *asked, "--out", tmp_path / "run", *options)
    assert code == 0, text
    card = checkpoint.load(str(tmp_path / "run")).card
    features = read(folder, "train").features
    assert card.encoders == {modality: brought.fingerprint for modality, brought in features.items()}
    assert "MultiEMO EmoBERTa, 12 numbers" in card.encoders["text"] or network != "multiemo"
    widths = [card.config[f"{modality}_dim"] for modality in ("text", "audio", "visual")]
    assert widths == [brought.width for brought in features.values()]
    assert card.training["options"]["disturbance"] == vars(UNDISTURBED)
    if causal == "false":
        _is_as_released(card)
    assert not (tmp_path / "run" / "text").exists()
    code, text = run(evaluate, "--corpus", named, "--split", "test", "--weights", tmp_path / "run", "--json")
    assert code == 0, text
    _attention_is_drawn_of_multiemo_alone(network, ("--corpus", named, "--weights", tmp_path / "run"), tmp_path)


def _attention_is_drawn_of_multiemo_alone(network: str, asked: tuple[object, ...], folder: Path) -> None:
    figure = folder / "attention.svg"
    code, text = run(experiment_attention, *asked, "--out", figure, "--split", "test", "--dialogue", "Ses01F_13")
    if network == "multiemo":
        assert (code, text) == (0, f"drawn: {figure}, dialogue Ses01F_13\n")
        assert figure.read_text().count("<image") >= 6
        code, text = run(experiment_attention, *asked, "--out", figure, "--dialogue", "nobody")
        assert (code, "dev has none of this name; its first is" in text) == (2, True)
        assert run(experiment_attention, *asked, "--out", folder / "attention")[0] == 2
    else:
        assert (code, f"it is a {network}, and this draws a multiemo" in text) == (2, True)


def _is_as_released(card: Card) -> None:
    """Trained on IEMOCAP as the release does it, but for what the test made small."""
    script, said = SCRIPTS[card.network]["IEMOCAP"], card.training["options"]
    assert (said["rate"], said["weight_decay"], said["epochs"]) == (script.rate, script.weight_decay, 2)
    assert (said["clip"], said["ema"], said["balance"]) == (0.0, 0.0, 0.0)
    assert said["published"]["dialogues"] == script.how.dialogues
    assert {name: card.config[name] for name in script.sizes} == script.sizes
    assert bool(card.config.get("class_weights")) == script.how.weigh
    assert card.config.get("genders", 0) == (2 if card.network == "hgf_milag" else 0)
    if card.network == "safsd_glnet":
        assert card.config["similarity"][5] == [0.3, 0.8, 0.3, 0.5, 0.4, 1.0]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--network", "multiemo", "--batch", 16), 2, "the release decides on --batch: leave one of them out"),
        (("--network", "dialogue_graph"), 5, "dialogue_graph is none of multiemo, vuemo, hgf_milag, safsd_glnet"),
        (("--network", "multiemo", "--folds", 2), 5, "leave out --tune-text and --folds"),
        (("--network", "hgf_milag", "--size", "genders=2"), 4, "names no gender of its speakers: leave it out"),
    ],
)
def test_what_does_not_go_with_a_release(options: tuple[object, ...], code: int, says: str, tmp_path: Path) -> None:
    corpus = ("--corpus", multiemo(tmp_path / "features", MELD), "--out", tmp_path / "run")
    found, text = run(train, *corpus, "--recipe", "published", *options)
    assert (found, says in text, "\n" in text) == (code, True, False), text


@pytest.fixture
def learnt(tmp_path: Path) -> tuple[Path, Path]:
    """-> features of MELD, weights that learnt from them"""
    features = multiemo(tmp_path / "features", MELD)
    fast = ("--epochs", 8, "--batch", 8, "--rate", 2e-2, "--average", 0)
    code, text = run(train, "--corpus", features, "--out", tmp_path / "run", *fast, *TINY)
    assert code == 0, text
    return features, tmp_path / "run"


def test_what_was_learnt_serves_where_such_vectors_are_and_no_session(
    learnt: tuple[Path, Path], tmp_path: Path
) -> None:
    features, weights = learnt
    code, text = run(evaluate, "--corpus", features, "--split", "train", "--weights", weights, "--json")
    assert code == 0
    by_chance = 1 / MELD
    assert json.loads(text)["accuracy"] > 2 * by_chance
    with pytest.raises(
        WeightsError, match="text vectors brought by the corpus: MultiEMO EmoBERTa, 12 numbers"
    ) as refusal:
        load_engines(load(None, [f"tracker.weights={weights}"]).config)
    assert "no session can use it" in str(refusal.value)
    words = corpus(tmp_path / "words", ("joy", "anger"))
    code, text = run(evaluate, "--corpus", words, "--weights", weights)
    assert (code, "brought by the corpus: MultiEMO EmoBERTa" in text) == (5, True)
    code, text = run(evaluate, "--corpus", features, "--weights", "default")
    assert (code, "the model expects" in text) == (5, True)
    wider = multiemo(tmp_path / "wider", MELD, (13, 8, 10))
    assert run(evaluate, "--corpus", wider, "--weights", weights)[0] == 5


def test_the_neutral_format_carries_them(learnt: tuple[Path, Path], tmp_path: Path) -> None:
    features, weights = learnt
    code, text = run(corpus_convert, f"multiemo-pickles:{features}", tmp_path / "neutral")
    assert code == 0, text
    for split in ("train", "dev", "test"):
        assert read(tmp_path / "neutral", split).dialogues == read(features, split).dialogues
    scores = [run(evaluate, "--corpus", c, "--weights", weights, "--json")[1] for c in (features, tmp_path / "neutral")]
    first, second = (json.loads(score)["confusion"] for score in scores)
    assert first == second
    code, text = run(
        predict, tmp_path / "neutral" / "test.jsonl", "-o", tmp_path / "labelled.jsonl", "--weights", weights
    )
    assert code == 0, text
    assert '"estimate": {"label"' in (tmp_path / "labelled.jsonl").read_text()
    code, text = run(corpus_stats, tmp_path / "neutral")
    assert "audio vectors: MultiEMO openSMILE, 8 numbers" in text
    assert "with audio vectors" in text
    found = json.loads(run(corpus_stats, tmp_path / "neutral", "--json")[1])
    assert found["vectors"]["visual"] == {"name": "MultiEMO VisExtNet", "width": 10}
    assert found["splits"]["dev"]["vectors"]["text"] == found["splits"]["dev"]["utterances"]


def test_folds_part_their_dialogues(tmp_path: Path) -> None:
    features = multiemo(tmp_path / "features", MELD)
    code, text = run(train, "--corpus", features, "--out", tmp_path / "run", "--folds", 2, *SMALL, *TINY)
    assert (code, "(95 % over dialogues" in text) == (0, True), text


def test_what_does_not_go_with_them(learnt: tuple[Path, Path], tmp_path: Path) -> None:
    features, _ = learnt
    common = ("--out", tmp_path / "other", *SMALL, *TINY)
    code, text = run(train, "--corpus", features, *common, "--tune-text")
    assert (code, "leave out --tune-text" in text) == (4, True)
    code, text = run(train, "--corpus", features, "--compose", "ravdess=x", *common)
    assert (code, "--compose: MELD (MultiEMO) brings vectors of its own" in text) == (2, True)
    other = safsd_glnet(tmp_path / "other-features", MELD)
    code, text = run(train, "--corpus", features, "--corpus", other, *common)
    assert (code, "does not bring the same vectors" in text) == (2, True)


@pytest.mark.parametrize(
    ("named", "says"),
    [
        ("multiemo-pickle:{}", "no kind of corpus is called multiemo-pickle: did you mean multiemo-pickles?"),
        ("nothing-known:{}", "there are multiemo-pickles, vuemo-pickles, hgf-milag-pickles, safsd-glnet-pickles"),
        ("multiemo-pickles:{}/absent", "absent: no such file or folder; in it must be Speakers.pkl"),
        ("vuemo-pickles:{}", "it lacks IEMOCAP_features.pkl with iemocap_features_roberta.pkl"),
        ("{}", "AudioFeatures.pkl: missing; Speakers.pkl, TextFeatures.pkl, VisualFeatures.pkl is nothing without"),
        ("{}/Speakers.pkl", "a pickle of an unknown name: give its folder"),
    ],
)
def test_one_line_for_what_a_person_may_get_wrong(named: str, says: str, tmp_path: Path) -> None:
    folder = multiemo(tmp_path / "features")
    (folder / "AudioFeatures.pkl").unlink()
    code, text = run(corpus_check, named.format(folder))
    assert code == 4
    code, text = run(train, "--corpus", named.format(folder), "--out", tmp_path / "run")
    assert (code, says in text, "\n" in text) == (4, True, False), text


def test_a_pickle_that_is_a_program_is_named_and_not_run(tmp_path: Path) -> None:
    folder = multiemo(tmp_path / "features")
    write(folder / "AudioFeatures.pkl", exit)
    code, text = run(corpus_stats, folder)
    assert code == 4
    assert "AudioFeatures.pkl: it names _sitebuiltins.Quitter; of a pickle only arrays" in text

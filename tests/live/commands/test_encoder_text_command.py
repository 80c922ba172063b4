"""`erc-live encoder train text` as a command: what it begins with, folds, and what a person may get wrong."""

import json
from pathlib import Path

import pytest
from commands import corpus, run
from tiny_bert import make_tiny_bert

from erc_live.live.commands.encoder_text import open_encoder, train
from erc_live.models.card import PRETRAINED
from erc_live.models.encoders.text import TextEncoder, fingerprint
from erc_live.models.errors import WeightsError


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    return corpus(tmp_path / "talks", ("joy", "anger"), prosody=False)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    return make_tiny_bert(tmp_path / "bert")


def test_folds_leave_an_encoder_for_each_and_the_estimates(talks: Path, bert: Path, tmp_path: Path) -> None:
    out = tmp_path / "text"
    code, said = run(train, "--corpus", talks, "--start", bert, "--out", out, "--folds", 2)
    assert code == 0
    *_, written, scored = said.splitlines()
    assert written == f"{out}: encoder {fingerprint(out)} written"
    assert {path.name for path in out.iterdir() if path.is_dir()} == {"fold-0", "fold-1"}
    assert len((out / "out-of-fold.jsonl").read_text().splitlines()) == 16
    card = json.loads((out / "card.json").read_text())
    assert set(card["scores"]) == {"folds"}
    folds = card["scores"]["folds"]
    said_of_it = f"W-F1 {folds['weighted_f1']:.4f}, macro-F1 {folds['macro_f1']:.4f}"
    assert scored == f"folds: {folds['utterances']} utterances, {said_of_it}"
    assert len(card["training"]["parts"]) == 16


def test_what_was_heard_of_the_folds_is_scored_too(talks: Path, bert: Path, tmp_path: Path) -> None:
    heard = tmp_path / "heard"
    heard.mkdir()
    for file in talks.glob("*.jsonl"):
        dialogues = [json.loads(line) for line in file.read_text().splitlines()]
        for one in dialogues:
            for utterance in one["utterances"]:
                utterance |= {"spoken": utterance["text"], "text": utterance["text"].lower()}
        (heard / file.name).write_text("".join(json.dumps(one) + "\n" for one in dialogues))
    options = ("--corpus", talks, "--corpus", heard, "--start", bert, "--out", tmp_path / "text", "--folds", 2)
    code, said = run(train, *options)
    assert code == 0
    last = said.splitlines()[-1]
    assert last.startswith("dialogues of heard that the folds leave out: ")
    assert "; as they were written " in last


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        (("--folds", "2", "--seeds", "3"), 2, "with --folds each fold is a run of one seed"),
        (("--bits", "5"), 2, "--bits 5: give 8 or 4"),
        (("--folds", "1"), 4, "16 groups cannot be parted into 1 folds"),
        (("--start", "mpnet"), 5, "mpnet is not on this disk; fetch it with: erc-live models fetch mpnet"),
        (("--start", "minilm"), 5, "minilm is not on this disk; fetch it with: erc-live models fetch minilm"),
        (("--pseudo-labels", "/nowhere.jsonl"), 4, "/nowhere.jsonl"),
    ],
)
def test_mistakes_are_one_line(
    talks: Path,
    bert: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    code: int,
    says: str,
) -> None:
    monkeypatch.setattr("erc_live.live.commands.encoder_text.encoder_folder", lambda name: tmp_path / "no" / name)
    found, said = run(train, "--corpus", talks, "--start", bert, "--out", tmp_path / "text", *options)
    assert (found, says in said, "\n" in said.strip()) == (code, True, False)
    assert not (tmp_path / "text" / "card.json").exists()


def test_an_encoder_by_its_name(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Path] = []
    monkeypatch.setattr(TextEncoder, "load", classmethod(lambda _, folder: loaded.append(folder)))
    monkeypatch.setattr("erc_live.live.commands.encoder_text.encoder_folder", lambda name: bert.parent / name)
    monkeypatch.setattr(TextEncoder, "named", classmethod(lambda _, name: loaded.append(Path("hub") / name)))
    (bert.parent / "mpnet").mkdir()
    for choice in ("default", "large", str(bert), "mpnet", "roberta-large"):
        open_encoder(choice)
    assert loaded == [
        PRETRAINED / "text",
        PRETRAINED / "large" / "text",
        bert,
        bert.parent / "mpnet",
        Path("hub/roberta-large"),
    ]
    with pytest.raises(WeightsError, match="minilm is not on this disk"):
        open_encoder("minilm")

"""Dialogues as the text encoder learns from them: what teaches, what is thinned out, drawn, and kept apart."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.encoders.turns import Turn
from erc_live.models.errors import CorpusError
from erc_live.models.training.text_dataset import SpokenDialogue, TextDataset

LABELS = ("joy", "anger", "neutral")
SURE, UNSURE = (0.01, 0.01, 0.98), (0.4, 0.4, 0.2)
UNKNOWN = (0.0, 0.0, 0.0)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def talk(name: str, *shares: Sequence[float], pseudo: bool = False, group: str | None = None) -> SpokenDialogue:
    spoken = tuple(Turn("A", f"{name} {place}") for place in range(len(shares)))
    return SpokenDialogue(spoken, torch.tensor(shares), group or name, pseudo)


def labelled(*classes: int) -> list[list[float]]:
    return torch.eye(3)[list(classes)].tolist()


def said(text: str, **probs: float) -> dict[str, object]:
    return {"speaker": "A", "text": text, "estimate": {"label": "?", "probs": probs, "certain": True}}


def estimated(folder: Path, *dialogues: list[dict[str, object]], occasion: str | None = None) -> TextDataset:
    file = folder / "estimated.jsonl"
    entries = [{"dialogue": str(n), "utterances": turns, "occasion": occasion} for n, turns in enumerate(dialogues)]
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return TextDataset.estimated(file, LABELS)


def test_labels_of_utterances_with_words_teach_and_the_others_are_context() -> None:
    turns = (Utterance("A", "oh", None), Utterance("B", " ", "joy"), Utterance("A", "great", "joy"))
    silent = Dialogue("2", turns[:2])
    found = TextDataset.of(Split("x", "train", LABELS, (Dialogue("1", turns, occasion="s1"), silent)), LABELS)
    (dialogue,) = found.dialogues
    assert dialogue.spoken == (Turn("A", "oh"), Turn("B", " "), Turn("A", "great"))
    assert dialogue.shares.tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert (dialogue.group, dialogue.pseudo, len(dialogue)) == ("s1", False, 3)
    assert found.shares.tolist() == [[1, 0, 0]]


@pytest.mark.parametrize(
    ("label", "says"),
    [(None, "x: no utterance of dev has a text and a label"), ("fear", "x, dev: fear is none of joy, anger, neutral")],
)
def test_what_cannot_be_learnt_from_is_one_line(label: str | None, says: str) -> None:
    with pytest.raises(CorpusError, match=f"^{says}$"):
        TextDataset.of(Split("x", "dev", LABELS, (Dialogue("1", (Utterance("A", "oh", label),)),)), LABELS)


def test_estimates_are_shares_of_utterances_with_words(tmp_path: Path) -> None:
    sure = {"joy": 0.1, "anger": 0.2, "neutral": 0.7}
    found = estimated(tmp_path, [said("oh", **sure), said(" ", **sure)], [said("", **sure)], occasion="s1")
    (dialogue,) = found.dialogues
    torch.testing.assert_close(dialogue.shares, torch.tensor([[0.1, 0.2, 0.7], UNKNOWN]))
    assert (dialogue.pseudo, dialogue.group, found.corpus) == (True, "s1", "estimated")
    with pytest.raises(CorpusError, match=r"estimated.jsonl: no utterance has a text$"):
        estimated(tmp_path, [said(" ", **sure)])


def test_a_label_that_drowns_the_others_is_thinned() -> None:
    lines = TextDataset("x", tuple(talk(str(n), *labelled(2, 2, 2, 2, 2, 2, 2, 2, 2, n % 2)) for n in range(20)))
    few = lines.thinned(source())
    counts = torch.bincount(few.shares.argmax(1)).tolist()
    assert counts == [10, 10, 10]  # half as many as of all the others
    assert [one.spoken for one in few.dialogues] == [one.spoken for one in lines.dialogues]  # all stay as context
    assert few.digest() != lines.thinned(source(1)).digest()


def test_what_then_teaches_nothing_is_left_out() -> None:
    lines = TextDataset("x", (*(talk(str(n), *labelled(2, 2)) for n in range(50)), talk("joy", *labelled(0, 0))))
    few = lines.thinned(source())
    assert torch.bincount(few.shares.argmax(1)).tolist() == [2, 0, 1]
    assert len(few.dialogues) == 2


@given(st.lists(st.integers(0, 2), min_size=1, max_size=40))
def test_thinning_silences_the_commonest_alone_and_never_all(classes: list[int]) -> None:
    lines = TextDataset("x", tuple(talk(f"{n}", *labelled(label)) for n, label in enumerate(classes)))
    few = lines.thinned(source())
    most = max(set(classes), key=classes.count)
    kept = few.shares.argmax(1).tolist()
    assert [label for label in kept if label != most] == [label for label in classes if label != most]
    assert kept
    if classes.count(most) <= 0.75 * len(classes):
        assert few is lines


def test_what_looks_like_the_commonest_label_is_drawn_least() -> None:
    lines = TextDataset("x", tuple(talk(str(n), UNSURE if n % 4 == 3 else SURE, UNKNOWN) for n in range(400)))
    few = lines.drawn(120, source())
    assert len({one.spoken for one in few.dialogues}) == 60
    unsure = sum(float(one.shares[0, 0]) > 0.1 for one in few.dialogues)
    assert unsure > 40  # of the 100 of them, against 300; a row of which nothing is known does not count
    assert [one.group for one in few.dialogues] == sorted((one.group for one in few.dialogues), key=int)
    assert lines.drawn(800, source()) is lines


def test_label_and_estimate_weigh_alike_and_an_estimate_fills_in() -> None:
    own = TextDataset("x", (talk("a", (1.0, 0.0, 0.0), UNKNOWN), talk("b", (0.0, 1.0, 0.0))))
    other = TextDataset("y", (talk("a", SURE, UNSURE, pseudo=True), talk("c", SURE, pseudo=True)))
    first, second = own.taught_by(other).dialogues
    torch.testing.assert_close(first.shares, torch.tensor([[0.505, 0.005, 0.49], UNSURE]))
    assert not first.pseudo
    assert second is own.dialogues[1]


def test_what_was_heard_is_taught_by_the_estimates_of_what_stood_there() -> None:
    heard = (
        Utterance("A", "oh no", "joy", spoken="Oh, no!"),
        Utterance("B", "", "anger", spoken="Yes."),
        Utterance("A", "Fine.", "joy"),
    )
    own = TextDataset.of(Split("x", "train", LABELS, (Dialogue("1", heard),)), LABELS)
    stood = tuple(Turn(*pair) for pair in (("A", "Oh, no!"), ("B", "Yes."), ("A", "Fine.")))
    other = TextDataset("y", (SpokenDialogue(stood, torch.tensor([SURE, SURE, UNSURE]), "1", pseudo=True),))
    (taught,) = own.taught_by(other).dialogues
    torch.testing.assert_close(taught.shares, torch.tensor([[0.505, 0.005, 0.49], UNKNOWN, [0.7, 0.2, 0.1]]))
    assert [turn.text for turn in taught.spoken] == ["oh no", "", "Fine."]  # what is read stays what was heard


@given(st.lists(st.sampled_from("abcd"), max_size=8), st.sets(st.sampled_from("abcd")))
def test_groups_are_left_out_whole(groups: list[str], out: set[str]) -> None:
    every = TextDataset("x", tuple(talk(str(n), SURE, group=group) for n, group in enumerate(groups)))
    kept = every.without_groups(out)
    assert [one.group for one in kept.dialogues] == [group for group in groups if group not in out]
    assert every.without(kept).dialogues == tuple(one for one in every.dialogues if one.group in out)


def test_the_digest_names_words_speakers_labels_and_who_gave_them() -> None:
    one = talk("a", SURE, UNSURE)
    others = [
        replace(one, spoken=(Turn("B", "a 0"), one.spoken[1])),
        replace(one, spoken=one.spoken[::-1]),
        replace(one, shares=one.shares.flip(0)),
        replace(one, pseudo=True),
    ]
    assert len({TextDataset("x", (each,)).digest() for each in (one, *others)}) == 5
    assert TextDataset("x", (one,)).digest() == TextDataset("y", (replace(one, group="g"),)).digest()


def test_lengths_are_those_of_dialogues() -> None:
    every = TextDataset("x", (talk("aa", SURE, UNSURE),)) + TextDataset("y", (talk("b", SURE),))
    assert (every.corpus, every.lengths()) == ("x y", [8, 3])

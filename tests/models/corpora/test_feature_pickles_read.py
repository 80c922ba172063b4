"""The features of four published systems as dialogues: what each pickle means, and one line for each thing wrong."""

import math
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from feature_pickles import IEMOCAP, MELD, Talks, hgf_milag, multiemo, safsd_glnet, vuemo, write

from erc_live.models.corpora import feature_tables, read, splits
from erc_live.models.corpora.dialogue import SEVEN, FeatureKind
from erc_live.models.corpora.survey import problems
from erc_live.models.errors import CorpusError

SIX = ("happy", "sad", "neutral", "angry", "excited", "frustrated")
MAKERS: list[tuple[Callable[..., Path], int, int]] = [
    (multiemo, IEMOCAP, 12),
    (multiemo, MELD, 12),
    (vuemo, IEMOCAP, 16),
    (vuemo, MELD, 16),
    (hgf_milag, IEMOCAP, 12),
    (safsd_glnet, IEMOCAP, 12),
    (safsd_glnet, MELD, 12),
]


@pytest.mark.parametrize(("make", "classes", "width"), MAKERS)
def test_what_a_release_means(make: Callable[..., Path], classes: int, width: int, tmp_path: Path) -> None:
    folder = make(tmp_path) if make is hgf_milag else make(tmp_path, classes)
    talks = Talks(classes)
    parts = {name: read(folder, name) for name in splits(folder)}
    assert {name for part in parts.values() for name in (d.name for d in part.dialogues)} == set(map(str, talks.vids))
    assert [d.name for d in parts["test"].dialogues] == sorted(map(str, talks.test))
    assert len({d.name for part in parts.values() for d in part.dialogues}) == len(talks.vids)
    for part in parts.values():
        assert part.labels == (SIX if classes == IEMOCAP else SEVEN)
        assert part.features["text"].width == width
        for dialogue in part.dialogues:
            vid = dialogue.name if classes == IEMOCAP else int(dialogue.name)
            assert [part.labels.index(u.label or "") for u in dialogue.utterances] == talks.labels[vid]
            assert [u.text for u in dialogue.utterances] == [f"words {n}" for n in range(len(talks.labels[vid]))]
            first = ["M", "F"] if classes == IEMOCAP else ["speaker 0", "speaker 1"]
            assert [u.speaker for u in dialogue.utterances][:2] == first
            genders = ["male", "female"] if classes == IEMOCAP else [None, None]
            assert [u.gender for u in dialogue.utterances][:2] == genders
            assert {len(u.vectors["text"]) for u in dialogue.utterances} == {width}
    assert list(problems(folder)) == []


def test_vectors_are_those_of_the_pickle_and_layers_are_joined(tmp_path: Path) -> None:
    folder = vuemo(tmp_path)
    layers = pickle.loads((folder / "iemocap_features_roberta.pkl").read_bytes())[2:6]
    dialogue = read(folder, "test").dialogues[0]
    rows = [np.concatenate([layer[dialogue.name][n] for layer in layers]) for n in range(len(dialogue.utterances))]
    assert [list(u.vectors["text"]) for u in dialogue.utterances] == [row.tolist() for row in rows]
    assert [d.name for d in read(folder, "dev").dialogues] == ["Ses01F_00", "Ses01F_01"]  # what the file calls valid


def test_the_dev_that_a_release_has_stays_and_else_it_is_for_ever_the_same(tmp_path: Path) -> None:
    assert [d.name for d in read(hgf_milag(tmp_path / "a"), "dev").dialogues] == ["Ses01F_00"]
    chosen = [d.name for d in read(multiemo(tmp_path / "b"), "dev").dialogues]
    assert chosen == [d.name for d in read(safsd_glnet(tmp_path / "c"), "dev").dialogues]


def test_the_folders_above_are_known(tmp_path: Path) -> None:
    multiemo(tmp_path / "m" / "Data" / "IEMOCAP")
    assert read(Path(f"multiemo-pickles:{tmp_path / 'm'}"), "train").corpus == "IEMOCAP (MultiEMO)"
    multiemo(tmp_path / "m" / "Data" / "MELD", MELD)
    with pytest.raises(CorpusError, match="are both there: name the one that is meant"):
        read(tmp_path / "m", "train")
    vuemo(tmp_path / "v" / "MELD_features", MELD)
    assert read(tmp_path / "v", "train").corpus == "MELD (VUEMO)"
    assert read(vuemo(tmp_path / "v"), "train").corpus == "IEMOCAP (VUEMO)"
    safsd_glnet(safsd_glnet(tmp_path / "s"), MELD)
    with pytest.raises(CorpusError, match="are both there"):
        read(tmp_path / "s", "train")
    named = Path(f"safsd-glnet-pickles:{tmp_path / 's' / 'meld_multimodal_features.pkl'}")
    assert read(named, "train").corpus == "MELD (SAFSD-GLNet)"


def changed(file: str, place: int | None, change: Callable[[Any], Any]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        value = pickle.loads((folder / file).read_bytes())
        write(
            folder / file,
            change(value) if place is None else [*value[:place], change(value[place]), *value[place + 1 :]],
        )

    return apply


def row(table: dict[Any, Any], change: Callable[[Any], Any], key: str = "Ses01F_15") -> dict[Any, Any]:
    return {**table, key: change(table[key])}


SPEAKERS, AUDIO = "Speakers.pkl", "AudioFeatures.pkl"
WRONG: list[tuple[Callable[[Path], None], str]] = [
    (changed(SPEAKERS, None, lambda value: value[:4]), "it holds 4 tables, and must hold 9 or 10 tables in a row"),
    (changed(SPEAKERS, None, lambda value: {}), "it holds a dict"),
    (changed(SPEAKERS, 1, lambda value: 5), "speakers: no table by dialogue"),
    (changed(SPEAKERS, 2, lambda t: {}), "labels: none for dialogue 'Ses01F_13'"),
    (
        changed(SPEAKERS, 2, lambda t: row(t, lambda r: r[:-1])),
        "labels of dialogue 'Ses01F_15' are 5, and its speakers 6",
    ),
    (
        changed(SPEAKERS, 2, lambda t: row(t, lambda r: [6, *r[1:]])),
        "'Ses01F_15', utterance 1: label 6 is none of 0 to 5",
    ),
    (changed(SPEAKERS, 2, lambda t: row(t, lambda r: [-1, *r[1:]])), "label -1 is none of"),
    (changed(SPEAKERS, 2, lambda t: row(t, lambda r: ["x", *r[1:]])), "label a str is none of"),
    (changed(SPEAKERS, 7, lambda t: "abc"), "train is no list of names of dialogues"),
    (changed(SPEAKERS, 7, lambda t: [*t, "Ses01F_15"]), "dialogue 'Ses01F_15' is in train and in test"),
    (changed(SPEAKERS, 8, lambda t: []), "no dialogues in its test split"),
    (changed(AUDIO, None, lambda t: [t]), "MultiEMO openSMILE vectors: no table by dialogue"),
    (
        changed(AUDIO, None, lambda t: row(t, lambda r: r[:2])),
        "vectors of dialogue 'Ses01F_15' are 2, and its speakers 6",
    ),
    (changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], r[5][:-1]])), "has 7 numbers, and others have 8"),
    (
        changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], r[5] * math.nan])),
        "utterance 6: MultiEMO openSMILE: a number",
    ),
    (changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], [10**400] * 8])), "a number that is not finite"),
    (changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], r[5][None]])), "no row of numbers"),
    (changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], ["a"] * 8])), "no row of numbers"),
    (changed(AUDIO, None, lambda t: row(t, lambda r: [*r[:5], []])), "no numbers"),
    (changed(AUDIO, None, lambda t: row(t, lambda r: 3)), "are no list"),
]


@pytest.mark.parametrize("place", range(len(WRONG)))
def test_one_line_with_file_dialogue_and_utterance(place: int, tmp_path: Path) -> None:
    spoil, says = WRONG[place]
    folder = multiemo(tmp_path)
    spoil(folder)
    with pytest.raises(CorpusError) as refusal:
        read(folder, "test")
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert str(folder) in str(refusal.value)


def test_samples_that_are_none(tmp_path: Path) -> None:
    file = hgf_milag(tmp_path) / "newdata.pkl"
    for value, says in (
        ([], "it must hold a dict of the lists train, dev and test"),
        ({"train": [1], "dev": [], "test": []}, "a sample of train lacks vid, speaker"),
    ):
        write(file, value)
        with pytest.raises(CorpusError, match=says):
            read(tmp_path, "train")


def test_a_small_file_does_not_become_a_large_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = multiemo(tmp_path)
    many = list(range(4000))  # dialogues that share one row of many utterances
    labels, speakers, vectors = [0] * 500, ["M"] * 500, [[0.0] * 100] * 500
    tables = [{}, dict.fromkeys(many, speakers), dict.fromkeys(many, labels), {}, {}, {}, {}, many, many[:0]]
    write(folder / SPEAKERS, tables, 4)
    for name in ("Text", "Audio", "Visual"):
        write(folder / f"{name}Features.pkl", dict.fromkeys(many, vectors), 4)
    monkeypatch.setattr(feature_tables, "UTTERANCES", 2000)
    with pytest.raises(CorpusError, match="more than 2000 utterances"):
        read(folder, "train")


def test_dialogues_that_bring_different_vectors(tmp_path: Path) -> None:
    lines = [
        f'{{"dialogue": "{n}", "utterances": [{{"speaker": "A", "vectors": {{"text": {[0] * n}}}}}], '
        f'"features": {{"text": {{"name": "X", "width": {n}}}}}}}'
        for n in (1, 2)
    ]
    path = tmp_path / "test.jsonl"
    path.write_text("\n".join(lines))
    with pytest.raises(CorpusError, match="'2' brings text X, 2 numbers, and '1' text X, 1 numbers"):
        read(path, "test")
    assert any("all dialogues must bring the same vectors" in problem for problem in problems(path))
    path.write_text(lines[0])
    assert read(path, "test").features == {"text": FeatureKind("X", 1)}

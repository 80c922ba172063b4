"""A folder in the neutral format: its splits and labels, its errors, and what is written."""

import json
import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up import dialogues, patient

from erc_live.models.corpora import read, splits
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.corpora.neutral import write
from erc_live.models.errors import CorpusError


def lines(path: Path, names: Sequence[str], labels: Sequence[str | None] = ("joy",)) -> Path:
    said = [{"speaker": "A", "text": "Hi.", "label": label} for label in labels]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"dialogue": name, "utterances": said}) + "\n" for name in names))
    return path


def names(path: Path, split: str) -> list[str]:
    return [dialogue.name for dialogue in read(path, split).dialogues]


@pytest.mark.parametrize("name", ["dev", "valid", "validation", "val"])
def test_names_of_the_dev_split(tmp_path: Path, name: str) -> None:
    lines(tmp_path / f"{name}.jsonl", ["d1", "d2"])
    assert splits(tmp_path) == ("dev",)
    assert names(tmp_path, "dev") == names(tmp_path, name) == ["d1", "d2"]


def test_dev_is_a_fixed_tenth_of_train_where_there_is_none(tmp_path: Path) -> None:
    everyone = [f"d{number}" for number in range(30)]
    lines(tmp_path / "train.jsonl", everyone)
    assert splits(tmp_path) == ("train", "dev")
    dev = names(tmp_path, "dev")
    assert sorted(dev) == ["d0", "d16", "d5"]  # written down so that it never moves
    assert names(tmp_path, "train") == [name for name in everyone if name not in dev]
    lines(tmp_path / "train.jsonl", everyone[::-1])
    assert sorted(names(tmp_path, "dev")) == sorted(dev)  # whatever the order


def test_two_dialogues_are_one_and_one(tmp_path: Path) -> None:
    lines(tmp_path / "train.jsonl", ["a", "b"])
    assert {*names(tmp_path, "train"), *names(tmp_path, "dev")} == {"a", "b"}
    assert len(names(tmp_path, "dev")) == 1


@pytest.mark.parametrize("split", ["train", "dev"])
def test_a_corpus_of_one_dialogue(tmp_path: Path, split: str) -> None:
    path = lines(tmp_path / "train.jsonl", ["a"])
    with pytest.raises(CorpusError, match=r"^[^\n]+$") as error:
        read(tmp_path, split)
    assert str(error.value).startswith(f"{path}: one dialogue cannot be both train and dev")
    assert [one.name for one in read(path, split).dialogues] == ["a"]


@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_a_file_on_its_own_is_any_split(tmp_path: Path, split: str) -> None:
    path = lines(tmp_path / "talks.jsonl", ["a", "b"], ["sad", None, "glad"])
    found = read(path, split)
    assert (found.corpus, found.name, found.labels) == ("talks", split, ("glad", "sad"))
    assert len(found.dialogues) == 2


def test_labels_are_those_of_train(tmp_path: Path) -> None:
    lines(tmp_path / "train.jsonl", ["a", "b"], ["sad", "odd"])
    lines(tmp_path / "dev.jsonl", ["c"], ["sad", None])
    lines(tmp_path / "test.jsonl", ["d"], ["glad", "sad"])
    assert {split: read(tmp_path, split).labels for split in splits(tmp_path)} == {
        "train": ("odd", "sad"),
        "dev": ("odd", "sad"),
        "test": ("odd", "sad", "glad"),  # what train does not know comes last
    }


def test_labels_have_the_order_of_their_file(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("sad \n\nvery glad\nodd")
    path = lines(tmp_path / "dev.jsonl", ["c"], ["sad"])
    assert read(tmp_path, "dev").labels == read(path, "dev").labels == ("sad", "very glad", "odd")
    lines(path, ["c"], ["glad"])
    with pytest.raises(CorpusError, match=r"line 1: dialogue 'c', utterance 1: label 'glad' is not in labels.txt"):
        read(tmp_path, "dev")


def test_a_corpus_without_labels(tmp_path: Path) -> None:
    lines(tmp_path / "test.jsonl", ["c"], [None])
    assert read(tmp_path, "test").labels == ()


@pytest.mark.parametrize(("text", "says"), [("sad\nsad\n", "'sad' stands there twice"), ("\n", "no labels in it")])
def test_wrong_labels(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "labels.txt").write_text(text)
    lines(tmp_path / "dev.jsonl", ["c"], ["sad"])
    with pytest.raises(CorpusError, match=rf"labels.txt: {says}"):
        read(tmp_path, "dev")


def test_a_line_for_each_wrong_line_up_to_ten(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    good = '{"dialogue": "d", "utterances": [{"speaker": "A"}]}'
    path.write_text("\ufeff" + "\n".join([good, "", *["{}"] * 12, good]))
    with pytest.raises(CorpusError) as error:
        read(tmp_path, "dev")
    told = str(error.value).splitlines()
    assert told[:2] == [f'{path}: line {number}: "dialogue" is missing' for number in (3, 4)]
    assert len(told) == 11
    assert told[-1] == f"{path}: 10 of 13 problems are told; all: erc-live corpus check {path}"


def test_a_name_used_twice(tmp_path: Path) -> None:
    path = lines(tmp_path / "dev.jsonl", ["d", "e", "d"])
    with pytest.raises(CorpusError) as error:
        read(tmp_path, "dev")
    assert str(error.value) == f"{path}: line 3: dialogue 'd' is on line 1 already: give it another name"


def test_nothing_in_it(tmp_path: Path) -> None:
    path = lines(tmp_path / "dev.jsonl", [])
    with pytest.raises(CorpusError, match="no dialogues in it"):
        read(path, "dev")


@pytest.mark.parametrize(
    ("files", "split", "says"),
    [
        ([], "dev", "no corpus in it that is known"),
        (["train.jsonl"], "test", "no test split in it, only train and dev"),
        (["dev.jsonl", "valid.jsonl"], "dev", "dev.jsonl and valid.jsonl both name the dev split"),
        (["dev.jsonl"], "all", "'all' is no split: give one of train, dev, test"),
    ],
)
def test_a_split_that_cannot_be_told(tmp_path: Path, files: list[str], split: str, says: str) -> None:
    for name in files:
        lines(tmp_path / name, ["a", "b"])
    with pytest.raises(CorpusError, match=says):
        read(tmp_path, split)


def test_no_such_folder(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="no such folder, nor a file of dialogues"):
        read(tmp_path / "x", "dev")


def corpus(*said: Utterance) -> Split:
    return Split("c", "train", ("joy",), (Dialogue("d1", said), Dialogue("d2", said)))


def test_paths_are_written_as_seen_from_the_new_folder(tmp_path: Path) -> None:
    clip = tmp_path / "media" / "a.wav"
    found = corpus(Utterance("A", "", "joy", audio=clip))
    write(tmp_path / "new" / "out", [(found, found.dialogues)], ["joy"])
    first = json.loads((tmp_path / "new" / "out" / "train.jsonl").read_text().splitlines()[0])
    assert first["utterances"][0]["audio"] == "../../media/a.wav"
    again = read(tmp_path / "new" / "out", "train").dialogues[0].utterances[0].audio
    assert again is not None
    assert os.path.normpath(again) == str(clip)


def normal(dialogue: Dialogue) -> str:
    """All of a dialogue, with paths as short as they can be; NaN is equal to nothing, but looks the same."""

    def short(path: Path | None) -> str | None:
        return None if path is None else os.path.normpath(path.absolute())

    said = [replace(one, audio=None, video=None) for one in dialogue.utterances]
    return repr((dialogue.name, said, [(short(one.audio), short(one.video)) for one in dialogue.utterances]))


@settings(patient, max_examples=30)
@given(st.lists(dialogues(), min_size=1, max_size=3, unique_by=lambda one: one.name), st.sampled_from(["train", "dev"]))
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, talks: list[Dialogue], name: str) -> None:
    labels = list(dict.fromkeys(one.label for talk in talks for one in talk.utterances if one.label is not None))
    out = tmp_path_factory.mktemp("round") / "out"
    write(out, [(Split("c", name, tuple(labels), tuple(talks)), talks)], labels)
    found = read(out / f"{name}.jsonl", name)
    assert [normal(talk) for talk in found.dialogues] == [normal(talk) for talk in talks]
    assert found.labels == tuple(labels)


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    found = corpus(Utterance("A", "", "joy"))
    with pytest.raises(CorpusError, match="is there already"):
        write(tmp_path / "out", [(found, found.dialogues)], ["joy"])
    assert left(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("end", "becomes", "says"),
    [
        (KeyboardInterrupt("stop"), KeyboardInterrupt, "stop"),
        (OSError(28, "No space left on device"), CorpusError, r"cannot be written \(No space left"),
    ],
)
def test_nothing_is_left_half_written(
    tmp_path: Path, end: BaseException, becomes: type[BaseException], says: str
) -> None:
    found = corpus(Utterance("A", "", "joy"))

    def torn() -> Iterator[Dialogue]:
        yield found.dialogues[0]
        raise end

    with pytest.raises(becomes, match=says):
        write(tmp_path / "out", [(found, torn())], ["joy"])
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    "said",
    [
        Utterance("A\x00", "", "joy"),
        Utterance("A", "\ud83d", "joy"),
        Utterance("A", "", "joy", prosody=(math.inf,) * 8),
        Utterance("A", "", "joy", start_s=2, end_s=1),
        Utterance("A", "", "joy", arousal=1.5),
    ],
)
def test_what_the_format_has_no_place_for_is_not_written(tmp_path: Path, said: Utterance) -> None:
    found = corpus(said)
    with pytest.raises(CorpusError, match=r"^dialogue 'd1' has no place in the neutral format: [^\n]+$"):
        write(tmp_path / "out", [(found, found.dialogues)], ["joy"])
    assert left(tmp_path) == []

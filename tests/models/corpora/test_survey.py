"""Counts, warnings and problems of small corpora, each with one thing that is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from erc_live.models.corpora import read
from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.corpora.survey import count, parts, problems, warnings


def split(name: str, *dialogues: Dialogue, labels: tuple[str, ...] = ("joy", "fear")) -> Split:
    return Split("c", name, labels, dialogues)


def talk(name: str, *said: tuple[str, str, str | None], **more: Any) -> Dialogue:
    return Dialogue(name, tuple(Utterance(speaker, text, label, **more) for speaker, text, label in said))


def test_counts(tmp_path: Path) -> None:
    here, absent = tmp_path / "here.wav", tmp_path / "absent.mp4"
    here.touch()
    found = split(
        "dev",
        talk("a", ("A", "one two three", "joy"), ("B", "", None), ("A", "one", "joy"), audio=here, start_s=0, end_s=1),
        talk("b", ("C", "one two", "fear"), video=absent, prosody=(1.0,) * 8),
    )
    counts = count(found)
    assert (counts.dialogues, counts.utterances) == (2, 4)
    assert (counts.speakers_mean, counts.speakers_most) == (1.5, 2)
    assert (counts.turns_median, counts.turns_most) == (2, 3)
    assert (counts.words_median, counts.words_most) == (1.5, 3)
    assert (counts.text, counts.audio, counts.video, counts.prosody) == (3, 3, 0, 1)
    assert counts.labels == {"joy": 2, "fear": 1}
    assert counts.unlabelled == 1


def test_nothing_to_warn_of() -> None:
    train = split("train", talk("a", ("A", "x", "joy"), ("B", "y", "fear")))
    assert warnings([train, split("dev", talk("b", ("A", "z", "joy")))]) == []


@pytest.mark.parametrize(
    ("dev", "says"),
    [
        (talk("b", ("A", "x", "joy"), ("B", "y", "joy")), "dialogues of dev that are word for word in train, too: 1"),
        (talk("b", ("A", "z", None)), "dev has no labels"),
        (talk("b", ("A", "", "joy"), audio=Path("/absent.wav")), "1 of 1 utterances of dev have no text"),
        (talk("b", ("A", "", "joy")), "1 of 1 utterances of dev have neither text nor sound, picture or prosody"),
        (talk("b", ("A", "z", "joy"), audio=Path("/absent.wav")), "1 media files that dev names are not there, first"),
        (
            Dialogue("b", (Utterance("A", "z", "joy", prosody=(1.0,) * 8), Utterance("A", "w", "joy"))),
            "1 of 2 utterances of dev have no prosody, while others have",
        ),
    ],
)
def test_warnings_of_a_split(dev: Dialogue, says: str) -> None:
    train = split("train", talk("a", ("A", "x", "joy"), ("B", "y", "fear")))
    assert any(warning.startswith(says) for warning in warnings([train, split("dev", dev)]))


def test_a_class_without_training_examples() -> None:
    train = split("train", talk("a", ("A", "x", "joy")), labels=("joy", "odd"))
    dev = split("dev", talk("b", ("A", "z", "fear")), labels=("joy", "odd", "fear"))
    assert warnings([train, dev]) == [
        "no training examples of odd: no network can learn it",
        "no training examples of fear: no network can learn it",
    ]


def write(path: Path, *dialogues: tuple[str, dict[str, Any]]) -> Path:
    entries = ({"dialogue": name, "utterances": [{"speaker": "A", **said}]} for name, said in dialogues)
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return path


def test_all_problems_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_text("joy\n")
    train = write(tmp_path / "train.jsonl", ("a", {"label": "glee"}), ("a", {}), *[("b", {"text": 1})] * 20)
    dev = write(tmp_path / "valid.jsonl", ("c", {"start_s": -1}))
    found = list(problems(tmp_path))
    assert len(found) == 22
    assert found[0].startswith(f"{train}: line 1: dialogue 'a', utterance 1: label 'glee' is not in labels.txt")
    assert found[-1].startswith(f"{dev}: line 1: dialogue 'c', utterance 1: \"start_s\" must be")


def test_media_and_names(tmp_path: Path) -> None:
    (tmp_path / "here.wav").touch()
    write(tmp_path / "train.jsonl", ("a", {"audio": "here.wav"}), ("b", {"audio": "gone.wav", "video": "gone.wav"}))
    write(tmp_path / "dev.jsonl", ("a", {"text": "Hi."}))
    assert list(problems(tmp_path)) == [
        f"{tmp_path / 'gone.wav'}: no such file, but train names it",
        f"{tmp_path}: dialogue 'a' is in train and in dev: give each its own name",
    ]


def test_times_that_run_backwards_are_named_and_interruptions_are_not(tmp_path: Path) -> None:
    told = [(0, 1.2), (1.0, 3.0), (0.5, 2.0), (5.0, 6.0), (1.0, 2.0), (3.0, None)]
    entries = [{"start_s": start} | ({} if end is None else {"end_s": end}) for start, end in told]
    utterances = [{"speaker": "A"} | entry for entry in entries]
    path = tmp_path / "talks.jsonl"
    path.write_text(json.dumps({"dialogue": "a", "utterances": utterances}) + "\n")
    assert list(problems(path)) == [
        "dialogue 'a': times run backwards: utterance 5 begins at 1 s, and the one before it at 5 s",
        "dialogue 'a': utterance 6 has no end after its begin",
    ]


def test_problems_of_a_file_and_of_a_corpus_of_another_format(tmp_path: Path) -> None:
    path = write(tmp_path / "talks.jsonl", ("a", {}))
    assert list(problems(path)) == []
    assert parts(path) == ("test",)
    assert parts(write(tmp_path / "valid.jsonl", ("a", {}))) == ("dev",)
    (tmp_path / "dev.csv").write_text("Utterance\nHi\n")
    (problem,) = problems(tmp_path)
    assert "dev.csv: no column Speaker" in problem
    assert list(problems(tmp_path / "nowhere")) == [f"{tmp_path / 'nowhere'}: no such folder, nor a file of dialogues"]


def test_dailydialog_is_not_taken_for_the_neutral_format(tmp_path: Path) -> None:
    (tmp_path / "train.jsonl").write_text('{"utterances": ["Hi ."], "emotions": ["joy"]}\n')
    assert list(problems(tmp_path)) == []


def test_relabelled() -> None:
    found = split(
        "dev", talk("a", ("A", "x", "joy"), ("B", "y", "fear"), ("B", "z", None)), labels=("joy", "fear", "odd")
    )
    other = found.relabelled({"joy": "fear", "fear": "joy", "odd": None})
    assert other.labels == ("fear", "joy")
    assert [said.label for said in other.dialogues[0].utterances] == ["fear", "joy", None]
    assert found.relabelled({}) == found


def test_real_corpora(shared_data: Path) -> None:
    train, dev = read(shared_data / "meld", "train"), count(read(shared_data / "meld", "dev"))
    counts = count(train)
    assert (counts.dialogues, counts.utterances, counts.prosody, counts.speakers_most) == (1038, 9989, 9988, 9)
    assert (counts.labels["fear"], counts.labels["disgust"]) == (268, 271)
    assert (dev.dialogues, dev.utterances) == (114, 1109)
    assert warnings([train]) == ["1 of 9989 utterances of train have no prosody, while others have"]
    assert len(read(shared_data / "dailydialog", "dev").dialogues) == 1000
    assert len(read(shared_data / "goemotions", "dev").dialogues) == 4946


def test_real_voices_and_faces(shared_data: Path) -> None:
    from erc_live.models.corpora import ferplus, ravdess

    assert [len(ravdess.clips(shared_data / "ravdess", name)) for name in ("train", "dev")] == [960, 240]
    assert all(clip.path.is_file() for clip in ravdess.clips(shared_data / "ravdess", "dev"))
    assert len(ferplus.read(shared_data / "ferplus", "valid")) == 3553

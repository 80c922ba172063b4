"""MELD from made-up files in the layouts that people have."""

from math import isnan
from pathlib import Path

import pytest

from erc_live.models.corpora import read, splits
from erc_live.models.corpora.dialogue import PROSODY, SEVEN
from erc_live.models.errors import CorpusError

TABLE = """Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime
3,"Well, here.",Joey,neutral,neutral,10,0,1,2,"00:01:00,000","00:01:01,500"
2,You\u0092re here? ,Ross,joy,positive,2,5,1,2,"00:02:03,250","00:02:05,000"
1,Oh.,Rachel,sadness,negative,2,1,1,2,"00:02:01,000","00:02:02,125"
4,Yes,Rachel,surprise,positive,2,7,1,2,"00:02:06,000","00:02:05,000"
"""
PROSODY_TABLE = f"filename,{','.join(PROSODY)}\ndia2_utt5.wav,1.5,60,8,,60,280,inf,6.5\n"


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_dialogues_in_the_order_of_numbers(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE)
    split = read(tmp_path, "dev")
    assert (split.corpus, split.name, split.labels) == ("MELD", "dev", SEVEN)
    first, second = split.dialogues
    assert (first.name, second.name) == ("dev_dia2", "dev_dia10")  # by number, not by text
    assert [said.text for said in first.utterances] == ["Oh.", "You\u2019re here?", "Yes"]
    assert [said.speaker for said in first.utterances] == ["Rachel", "Ross", "Rachel"]
    assert [said.label for said in first.utterances] == ["sadness", "joy", "surprise"]
    assert all(said.prosody is said.audio is said.video is None for said in first.utterances)


def test_an_episode_is_an_occasion(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE.replace('10,0,1,2,"00', '10,0,1,12,"00'))
    assert [one.occasion for one in read(tmp_path, "dev").dialogues] == ["season 1 episode 2", "season 1 episode 12"]
    write(tmp_path / "dev.csv", TABLE.replace(",Season,Episode,", ",S,E,"))  # a table that does not tell
    first, _ = read(tmp_path, "dev").dialogues
    assert (first.occasion, first.group) == (None, "dev_dia2")


def test_times_count_from_the_first_utterance(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE)
    times = [(said.start_s, said.end_s) for said in read(tmp_path, "dev").dialogues[0].utterances]
    assert times == [(0.0, 1.125), (2.25, 4.0), (5.0, None)]  # the last one's end lies before its start


def test_prosody_beside_the_table(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE)
    write(tmp_path / "prosody_dev.csv", PROSODY_TABLE)
    first = read(tmp_path, "dev").dialogues[0]
    measured = first.utterances[1].prosody
    assert measured is not None
    assert [PROSODY[i] for i, value in enumerate(measured) if isnan(value)] == ["avg_pitch", "articulation_rate"]
    assert measured[:3] == (1.5, 60.0, 8.0)
    assert first.utterances[0].prosody is None


@pytest.mark.parametrize(
    ("split", "table", "clips"),
    [
        ("train", "train_sent_emo.csv", "train_splits"),
        ("train", "train.csv", "MELD.Raw/train/train_splits"),
        ("dev", "data/MELD/dev_sent_emo.csv", "MELD.Raw/dev_splits_complete"),
        ("test", "MELD.Raw/test_sent_emo.csv", "test/output_repeated_splits_test"),
        ("dev", "dev.csv", "clips/dev"),
        ("dev", "dev.csv", "clips"),
    ],
)
def test_clips_where_people_have_them(tmp_path: Path, split: str, table: str, clips: str) -> None:
    write(tmp_path / table, TABLE)
    clip = write(tmp_path / clips / "dia2_utt5.mp4")
    write(tmp_path / clips / "._dia2_utt1.mp4")  # what macOS leaves in archives
    assert splits(tmp_path) == (split,)
    first = read(tmp_path, split).dialogues[0]
    assert [said.audio for said in first.utterances] == [None, clip, None]
    assert [said.video for said in first.utterances] == [None, clip, None]
    assert first.span(first.utterances[1], clip) == (0.0, None)  # a clip is the whole utterance


def test_clips_of_an_unknown_split_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE)
    write(tmp_path / "test.csv", TABLE)
    write(tmp_path / "clips" / "dia2_utt5.mp4")
    with pytest.raises(CorpusError, match=r"clips of which split\? put them into .*clips/dev"):
        read(tmp_path, "dev")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Utterance,Speaker\nHi,A\n", "no column Emotion, Dialogue_ID"),
        (TABLE.replace("joy", "bliss"), "line 3: emotion 'bliss' is none of neutral"),
        (TABLE.replace(",2,5,", ",2,x,"), "line 3: Utterance_ID is 'x', not a whole number"),
        (TABLE.replace(",2,5,", ",2,1,"), "line 4: dialogue 2 has a second utterance 1"),
        (TABLE + "5,Short\n", "line 6: fewer values"),
        (TABLE.splitlines()[0], "no dialogues in its dev split"),
    ],
)
def test_one_line_for_what_is_wrong(tmp_path: Path, text: str, says: str) -> None:
    write(tmp_path / "dev.csv", text)
    with pytest.raises(CorpusError, match=r"^[^\n]+$") as error:
        read(tmp_path, "dev")
    assert says in str(error.value)
    assert str(tmp_path) in str(error.value)


def test_prosody_that_is_no_number(tmp_path: Path) -> None:
    write(tmp_path / "dev.csv", TABLE)
    path = write(tmp_path / "prosody_dev.csv", PROSODY_TABLE.replace("280", "wide"))
    with pytest.raises(CorpusError) as error:
        read(tmp_path, "dev")
    assert str(error.value) == f"{path}: line 2: pitch_range is 'wide', not a number"


def test_text_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_bytes(TABLE.replace("Oh.", "Oh\u00e9").encode("latin-1", "replace"))
    with pytest.raises(CorpusError, match="cannot be read as a table in UTF-8"):
        read(tmp_path, "dev")

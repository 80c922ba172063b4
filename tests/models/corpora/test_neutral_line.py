"""A line of the neutral format: what it means, and that its schema, its reader and its writer agree."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from made_up import HERE, dialogues, patient

from erc_live.models.corpora.dialogue import PROSODY, Dialogue, FeatureKind, Utterance
from erc_live.models.corpora.neutral_line import LIMIT, LineError, ProsodyEntry, corpus_schema, dump, parse

NAN = math.nan
SCHEMA = Draft202012Validator(corpus_schema())


def line(*utterances: object, **more: object) -> bytes:
    return json.dumps({"dialogue": "d", "utterances": utterances, **more}).encode()


def test_every_key() -> None:
    full = {
        "speaker": " Ann ",
        "text": " Oh no.\n",
        "label": "sadness",
        "start_s": 1,
        "end_s": 2.5,
        "audio": "clips/a.wav",
        "video": "clips/a.mp4",
        "prosody": {"duration": 1.5, "avg_pitch": None},
    }
    (said,) = parse(line(full), HERE).utterances
    assert said.prosody is not None
    assert said.prosody[0] == 1.5
    assert all(math.isnan(value) for value in said.prosody[1:])
    media = HERE / "clips"
    assert said == Utterance("Ann", "Oh no.", "sadness", 1.0, 2.5, media / "a.wav", media / "a.mp4", said.prosody)


@pytest.mark.parametrize(
    "rest", [{}, dict.fromkeys(("text", "label", "start_s", "end_s", "audio", "video", "prosody"))]
)
def test_all_but_the_speaker_may_be_absent_or_null(rest: dict[str, None]) -> None:
    assert parse(line({"speaker": "A", **rest}), HERE).utterances == (Utterance("A", "", None),)


def test_what_was_spoken_stands_beside_what_was_recognised() -> None:
    entry = {"speaker": "A", "text": "oh know", "label": None, "spoken": "Oh no!"}
    dialogue = parse(line(entry), HERE)
    assert dialogue.utterances == (Utterance("A", "oh know", None, spoken="Oh no!"),)
    assert json.loads(dump(dialogue, str))["utterances"] == [entry]
    with pytest.raises(LineError, match='"spoken" must be text'):
        parse(line({"speaker": "A", "spoken": 1}), HERE)


def test_numbers_may_be_names() -> None:
    dialogue = parse(line({"speaker": 3}, dialogue=17, occasion=5), HERE)
    assert (dialogue.name, dialogue.utterances[0].speaker, dialogue.occasion) == ("17", "3", "5")


def test_an_occasion_groups_dialogues_and_without_one_each_stands_for_itself() -> None:
    alone, none, shared = (parse(line(A, **more), HERE) for more in ({}, {"occasion": None}, {"occasion": " s1 "}))
    assert (alone.occasion, none.occasion, shared.occasion) == (None, None, "s1")
    assert (alone.group, none.group, shared.group) == ("d", "d", "s1")


def test_a_clip_and_a_recording() -> None:
    talk = {"speaker": "A", "audio": "talk.wav", "start_s": 1, "end_s": 2}
    clip = {"speaker": "B", "audio": "clip.wav", "video": "clip.wav", "start_s": 2, "end_s": 3}
    dialogue = parse(line(talk, clip, {**talk, "start_s": 4, "end_s": 5}), HERE)
    spans = [dialogue.span(said, said.audio) for said in dialogue.utterances if said.audio]
    assert spans == [(1.0, 2.0), (0.0, None), (4.0, 5.0)]


A = {"speaker": "A"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"{", "not JSON at character 2 (Expecting property name enclosed in double quotes)"),
        (b"\xff", "byte 1 is not UTF-8"),
        (b"[" * 100_000, "brackets too deep"),
        (b"1" * 10_000, "a number too long"),
        (b"[]", "the line must be an object with the keys dialogue, utterances, features, occasion, not []"),
        (b"{}", '"dialogue" is missing'),
        (b'{"dialogue": "d"}', '"utterances" is missing'),
        (line(), "dialogue 'd': \"utterances\" must be a list of at least one"),
        (line(A, dialogue=" "), '"dialogue" must be a name on one line and not blank'),
        (line(A, dialogue=None), '"dialogue" must be a name on one line and not blank, not None'),
        (line(A, dialogue=True), '"dialogue" must be a name on one line and not blank, not True'),
        (line(A, occasion=" "), '"occasion" must be a name on one line and not blank, or null'),
        (line(A, occasion=["s1"]), "\"occasion\" must be a name on one line and not blank, or null, not ['s1']"),
        (line(A, turns=1), "unknown key 'turns': the keys are dialogue, utterances"),
        (line(A, "hello"), "dialogue 'd', utterance 2: an utterance must be an object with the keys speaker, text"),
        (line({"text": "Hi"}), '"speaker" is missing'),
        (line({"speaker": None}), '"speaker" must be a name on one line and not blank, not None'),
        (line({"speaker": "A\nB"}), '"speaker" must be a name on one line'),
        (line({**A, "emotion": "joy"}), "unknown key 'emotion': the keys are speaker, text, label"),
        (line({**A, "text": 3}), '"text" must be text without half characters (lone surrogates) or null, not 3'),
        (line({**A, "text": "\ud83d"}), '"text" must be text without half characters'),
        (line({**A, "label": 3}), '"label" must be a name on one line and not blank, or null, not 3'),
        (line({**A, "label": ""}), '"label" must be a name on one line and not blank'),
        (line({**A, "start_s": -1}), '"start_s" must be a number from 0 to 1e+09 or null, not -1'),
        (line({**A, "start_s": "1"}), "not '1'"),
        (line({**A, "start_s": True}), "not True"),
        (line({**A, "start_s": NAN}), "NaN is no number in JSON: write null"),
        (line({**A, "end_s": math.inf}), "Infinity is no number in JSON"),
        (b'{"dialogue": "d", "utterances": [{"speaker": "A", "end_s": 1e999}]}', '"end_s" must be a number from 0'),
        (line({**A, "start_s": 2, "end_s": 1}), '"end_s" 1 lies before "start_s" 2'),
        (line({**A, "audio": ""}), '"audio" must be the path of a file or null'),
        (line({**A, "video": ["a"]}), '"video" must be the path of a file or null'),
        (line({**A, "valence": 1.5}), '"valence" must be a number from -1 to 1 or null, not 1.5'),
        (line({**A, "prosody": [1, 2]}), '"prosody" must be an object with the keys duration, avg_intensity'),
        (line({**A, "prosody": {"pitch": 1}}), "\"prosody\" has an unknown key 'pitch': the keys are duration"),
        (line({**A, "prosody": {"avg_pitch": "x"}}), '"avg_pitch" must be a number from -1e+09'),
        (line({**A, "gender": "M"}), '"gender" must be "male", "female" or null, not \'M\''),
        (line({**A, "audio": "x"}, {**A, "audio": "x"}), '"start_s" and "end_s" must say which piece of'),
        (line({**A, "label": "glee"}), "label 'glee' is not in labels.txt"),
    ],
)
def test_one_line_for_what_is_wrong(text: bytes, says: str) -> None:
    with pytest.raises(LineError, match=r"^[^\n]+$") as error:
        parse(text, HERE, labels=("joy",))
    assert says in str(error.value)


# Anything that JSON can say, bent towards the format so that it is often nearly right.
NAMES = [
    "speaker",
    "text",
    "label",
    "start_s",
    "end_s",
    "audio",
    "video",
    "prosody",
    "valence",
    "arousal",
    "gender",
    "other",
]
KEYS = st.sampled_from([*NAMES, *PROSODY])
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", " ", "A", "\n", "x.wav", 1.0, LIMIT, -LIMIT, 10**30])
    | st.text(max_size=4)
)
ANYTHING = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4))
VALUES = {
    "text": st.text(max_size=4),
    "label": st.sampled_from(["joy", "very glad"]),
    "start_s": st.integers(0, 2),
    "end_s": st.floats(2, 3),
    "audio": st.sampled_from(["x.wav", "y.wav"]),
    "video": st.just("x.wav"),
    "prosody": st.dictionaries(st.sampled_from(PROSODY), st.none() | st.floats(-9, 9), max_size=3),
    "valence": st.floats(-1, 1),
    "arousal": st.integers(-1, 1),
    "gender": st.sampled_from(["male", "female", None]),
}
RIGHT = st.fixed_dictionaries({"speaker": st.just("A") | st.integers()}, optional=VALUES)
# One key of an utterance is anything, known or not.
UTTERANCES = RIGHT | st.builds(lambda right, key, value: {**right, key: value}, RIGHT, KEYS, SCALARS)
LINES = (
    st.fixed_dictionaries({"dialogue": SCALARS, "utterances": st.lists(UTTERANCES | ANYTHING, max_size=3)})
    | st.fixed_dictionaries({"dialogue": st.just("d"), "utterances": st.lists(UTTERANCES, min_size=1, max_size=3)})
    | ANYTHING
)
# What the reader refuses and a schema cannot say.
BEYOND = ("lies before", "must say which piece")


def refused(text: bytes) -> str | None:
    """What is wrong with a line, if anything; no other exception comes out."""
    try:
        dialogue = parse(text, HERE)
    except LineError as error:
        return str(error)
    assert isinstance(dialogue, Dialogue)
    return None


@patient
@given(LINES)
def test_the_schema_and_the_reader_agree(entry: Any) -> None:
    wrong = refused(json.dumps(entry).encode())
    if SCHEMA.is_valid(entry):
        assert wrong is None or any(what in wrong for what in BEYOND), wrong
    else:
        assert wrong is not None


@patient
@given(
    st.binary(max_size=40) | LINES.map(lambda entry: json.dumps(entry).encode()) | st.text(max_size=20).map(str.encode)
)
def test_any_line_is_a_dialogue_or_a_line_error(text: bytes) -> None:
    assert "\n" not in (refused(text) or "")


@pytest.mark.parametrize("key", ["speaker", "text", "label", "audio", "video"])
def test_half_characters_are_refused_by_both(key: str) -> None:
    entry = {"dialogue": "d", "utterances": [{"speaker": "A", key: "half of it: \ud83d"}]}
    assert not SCHEMA.is_valid(entry)
    assert f'utterance 1: "{key}" must be ' in (refused(json.dumps(entry).encode()) or "")


@patient
@given(st.text(max_size=3).map(lambda text: f"{text}` - at `$.utterances[7].x[2]`") | st.text())
def test_no_key_spoils_the_message(key: str) -> None:
    for entry in ({key: 1}, {"dialogue": "d", "utterances": [{"speaker": "A", "prosody": {key: 1}}]}):
        wrong = refused(json.dumps(entry).encode())
        assert wrong is not None
        assert "unknown key" in wrong


def test_the_schema_names_every_measure_of_the_prosody() -> None:
    assert ProsodyEntry.__struct_fields__ == PROSODY


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(corpus_schema())


@patient
@given(dialogues())
def test_what_is_written_is_read(dialogue: Dialogue) -> None:
    text = dump(dialogue, lambda path: path.relative_to(HERE).as_posix())
    assert "\n" not in text
    assert SCHEMA.is_valid(json.loads(text))
    assert repr(parse(text.encode(), HERE)) == repr(dialogue)  # repr, for NaN is equal to nothing


WIDE = {"features": {"text": {"name": " EmoBERTa ", "width": 2}}}


def test_vectors_and_what_they_are() -> None:
    dialogue = parse(
        line({"speaker": "A", "vectors": {"text": [1, 0.1], "audio": None}}, {"speaker": "B"}, **WIDE), HERE
    )
    assert dialogue.features == {"text": FeatureKind("EmoBERTa", 2)}
    assert [list(said.vectors.get("text", ())) for said in dialogue.utterances] == [[1.0, pytest.approx(0.1)], []]


@pytest.mark.parametrize(
    ("vectors", "more", "says"),
    [
        ({"text": [1, "a"]}, WIDE, "number 2 of \"vectors.text\" must be a number of single precision, not 'a'"),
        ({"text": [1, 1e39]}, WIDE, 'number 2 of "vectors.text" must be a number of single precision, not 1e+39'),
        ({"text": []}, WIDE, '"vectors.text" must be a list of 1 to 65536 numbers, or null, not []'),
        ({"txt": [1]}, WIDE, "\"vectors\" has an unknown key 'txt': the keys are text, audio, visual"),
        ([1], WIDE, '"vectors" must be an object with the keys text, audio, visual, not [1]'),
        ({"text": [1]}, WIDE, 'its text vector has 1 numbers, and "features" of the dialogue says 2'),
        ({"audio": [1]}, WIDE, '"features" of the dialogue must give name and width of its audio vector'),
        ({"text": [1]}, {}, '"features" of the dialogue must give name and width of its text vector'),
        ({}, {"features": 7}, '"features" must be an object with the keys text, audio, visual, not 7'),
        ({}, {"features": {"text": {"name": "X"}}}, '"width" is missing'),
        ({}, {"features": {"text": {"name": "X", "width": 0}}}, '"features.text.width" must be a whole number from 1'),
    ],
)
def test_one_line_for_vectors_that_are_wrong(vectors: object, more: dict[str, object], says: str) -> None:
    with pytest.raises(LineError) as refusal:
        parse(line({"speaker": "A", "vectors": vectors}, **more), HERE)
    assert says in str(refusal.value)

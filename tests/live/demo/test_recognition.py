"""The last line of the demo: how many of its words were recognised, and where its words come from."""

from pathlib import Path

import pytest
from examples import event, session_end
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live import config
from erc_live.live.asr import whisper_models
from erc_live.live.asr.transcript_file import Cue
from erc_live.live.demo.recognition import RecognitionScore, word_errors, words
from erc_live.live.session import launch
from erc_live.streams.messages import Recogniser, SourceEnd

SAID = (Cue(0, 1, "Good morning, Ada!", "Ben"), Cue(1, 2, "Oh -- it's you.", "Ada"), Cue(2, 3, "Yes.", "Ben"))


def heard(who: str, text: str, utterance: str, **fields: object) -> object:
    return event(
        0,
        utterance=utterance,
        speaker_name=who,
        text=text,
        engine=Recogniser(name="faster-whisper tiny.en int8 cpu"),
        **fields,
    )


@given(*[st.lists(st.sampled_from("abc"), max_size=6)] * 2)
def test_errors_are_those_that_jiwer_counts(said: list[str], got: list[str]) -> None:
    import jiwer

    found = jiwer.process_words(" ".join(["x", *said]), " ".join(["x", *got]))
    assert word_errors(said, got) == found.substitutions + found.deletions + found.insertions


def test_case_marks_and_who_is_heard_first_are_no_errors() -> None:
    hearing = RecognitionScore(SAID)
    hearing.observe(heard("Ada", "oh it’s you", "a"))
    hearing.observe(heard("Ben", "GOOD MORNING ADA", "b"))
    hearing.observe(heard("Ben", "yes?", "c"))
    assert hearing.summary() == "Word error rate 0.0% (0 of 7 words), heard by faster-whisper tiny.en int8 cpu"


def test_each_utterance_counts_once_with_its_last_word() -> None:
    hearing = RecognitionScore(SAID)
    for message in (
        heard("Ben", "good", "b", final=False, revision=1),
        heard("Ada", "good morning either", "b", revision=2),
        heard("Ben", "good morning either", "b", revision=3),
        heard("Ben", "yes yes", "c"),
        heard("Somebody", "hello", "d"),
    ):
        hearing.observe(message)
    assert hearing.errors() == (1 + 1 + 3 + 1, 7)


def test_utterances_without_words_are_told_and_name_no_recogniser() -> None:
    hearing = RecognitionScore(SAID)
    hearing.observe(heard("Ben", "good morning ada", "b"))
    for utterance in "ac":
        hearing.observe(
            event(0, utterance=utterance, speaker_name="Ada", text="", engine=Recogniser(name="tiny.en", asked=False))
        )
    assert hearing.summary().startswith(
        "Word error rate 57.1% (4 of 7 words; 2 of 3 utterances have no words), heard by"
    )
    assert hearing.summary().endswith("faster-whisper tiny.en int8 cpu")


def end(source: str, reason: str = "end of file") -> SourceEnd:
    return SourceEnd(source=source, t_ns=0, reason=reason)


@pytest.mark.parametrize(
    "messages",
    [
        [],  # ended while it loaded
        [heard("Ben", "good", "b"), end("mic-0")],
        [end("mic-0"), end("mic-1", "stopped")],
        [end("mic-0"), end("camera-0"), end("mic-1", "ben.flac: breaks off at 3 s")],
        [end("mic-0"), end("mic-1"), session_end(reason="stopped")],  # nobody waited for what was said last
    ],
)
def test_of_a_demo_that_was_not_played_to_its_end_nothing_is_said(messages: list) -> None:
    hearing = RecognitionScore(SAID, ["mic-0", "mic-1"])
    for message in messages:
        hearing.observe(message)
    assert hearing.summary() == ""


def test_of_a_demo_that_was_played_all_counts() -> None:
    hearing = RecognitionScore(SAID, ["mic-0", "mic-1"])
    for message in (end("mic-1"), end("mic-0"), end("camera-0", "stopped"), session_end(reason="all sources ended")):
        hearing.observe(message)
    assert hearing.summary() == "Word error rate 100.0% (7 of 7 words)"


@given(st.text())
def test_words_are_compared_in_one_form(text: str) -> None:
    assert words(" ".join(words(text))) == words(text)


@pytest.mark.parametrize(
    ("keys", "here", "from_transcript", "compared"),
    [
        ({}, True, False, True),
        ({}, False, True, False),
        ({"model": "base.en"}, False, False, True),  # which is an error where it is opened
        ({"engine": "faster-whisper"}, False, False, True),
        ({"engine": "pocketsphinx"}, False, False, True),
        ({"engine": "transcript"}, True, True, False),
        ({"engine": "none"}, True, False, False),
    ],
)
def test_the_demo_is_heard_where_it_can_be(
    monkeypatch: pytest.MonkeyPatch, keys: dict[str, str], here: bool, from_transcript: bool, compared: bool
) -> None:
    monkeypatch.setattr(launch, "is_here", lambda choice, folder: here)
    said = Path("said.vtt")
    transcript, reference = launch.demo_words(config.Config(transcriber=config.TranscriberSection(**keys)), said)
    assert (transcript, reference) == (said if from_transcript else None, said if compared else None)


def test_a_recogniser_is_here_when_it_would_be_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched: list[str] = []
    monkeypatch.setattr(whisper_models, "locate", lambda name, folder: folder if name in fetched else None)
    monkeypatch.setattr(whisper_models, "_cached", lambda name: None)
    assert not whisper_models.is_here(config.TranscriberSection(), tmp_path)
    fetched.append("tiny.en")
    assert whisper_models.is_here(config.TranscriberSection(), tmp_path)
    assert not whisper_models.is_here(config.TranscriberSection(language="de"), tmp_path)
    assert whisper_models.is_here(config.TranscriberSection(model="tiny.en"), tmp_path)
    assert not whisper_models.is_here(config.TranscriberSection(model="base"), tmp_path)

"""The choice between the engines, and what each of them gives for an utterance."""

import re
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from sounds import read_pcm

from erc_live.live import config
from erc_live.live.asr import transcribers
from erc_live.live.asr.confidence import POCKETSPHINX, WHISPER
from erc_live.live.asr.transcribers import Speech, TimedWord, Transcript, makeshift, open_spare, open_transcriber
from erc_live.live.asr.whisper_models import Model
from erc_live.live.errors import EngineError

NOISE = np.random.default_rng(0).normal(0, 1000, 16_000).astype(np.int16)
WORDS = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Well,\n\n00:02.000 --> 00:04.000\n<v Ben>no.\n"


def speech(pcm: np.ndarray | None = None, start_s: float = 0.0, end_s: float = 1.0) -> Speech:
    return Speech(pcm=NOISE if pcm is None else pcm, source="mic", start_s=start_s, end_s=end_s)


def errors_of(reference: str, heard: str) -> float:
    """Word error rate: edits that turn one list of words into the other, divided by the words that were said."""
    said, got = reference.split(), heard.split()
    row = list(range(len(got) + 1))
    for i, word in enumerate(said, start=1):
        previous, row[0] = row[0], i
        for j, other in enumerate(got, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1] / len(said)


@pytest.fixture
def sidecar(tmp_path: Path) -> Path:
    path = tmp_path / "words.vtt"
    path.write_text(WORDS, encoding="utf-8")
    return path


@pytest.fixture
def without_pocketsphinx(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)


def test_none_gives_no_words(tmp_path: Path) -> None:
    engine = open_transcriber(config.TranscriberSection(engine="none"), tmp_path)
    assert (engine.name, engine.transcribe(speech())) == ("none", Transcript(""))


@pytest.mark.parametrize("engine", ["auto", "transcript"])
def test_a_transcript_gives_the_words_of_the_span(sidecar: Path, tmp_path: Path, engine: str) -> None:
    opened = open_transcriber(config.TranscriberSection(engine=engine), tmp_path, sidecar)
    assert opened.name == "transcript words.vtt"
    assert opened.transcribe(speech(start_s=0.9, end_s=3.9)) == Transcript("Well, no.", speaker="Ben")
    assert opened.transcribe(speech(start_s=2.0, end_s=3.9)) == Transcript("")  # said is said


def test_a_draft_of_a_transcript_is_only_looked_at(sidecar: Path, tmp_path: Path) -> None:
    opened = open_transcriber(config.TranscriberSection(), tmp_path, sidecar)
    final = speech(start_s=0.9, end_s=4.1)
    other = replace(final, source="another", start_s=1.8)
    assert opened.transcribe(replace(final, partial=True)).text == "Well, no."
    assert opened.transcribe(replace(final, end_s=3.9, partial=True)).text == "Well,"  # nobody has said "no." yet
    assert opened.transcribe(other).text == "no."
    assert opened.transcribe(final).text == "Well,"


@dataclass
class Recogniser:
    """Says the same of everything, in one stretch, as faster-whisper would."""

    text: str
    name: str = "faster-whisper scripted"
    asked: list[bool] = field(default_factory=list)

    def recognise(self, pcm: np.ndarray, with_words: bool) -> tuple[list[SimpleNamespace], str]:
        self.asked.append(with_words)
        said = [
            SimpleNamespace(word=f" {word}", start=float(at), end=at + 1.0, probability=0.5)
            for at, word in enumerate(self.text.split())
        ]
        return [SimpleNamespace(text=f" {self.text}", avg_logprob=-0.7, tokens=[1, 2], words=with_words and said)], "de"


def test_words_have_times_within_the_utterance_and_drafts_have_none() -> None:
    recogniser = Recogniser("guten Tag")
    engine = transcribers.FasterWhisper(recogniser, Model("scripted", Path()))
    words = (TimedWord("guten", 0.0, 1.0, 0.5), TimedWord("Tag", 1.0, 1.0, 0.5))
    expected = Transcript("guten Tag", confidence=pytest.approx(WHISPER.confidence(-0.7)), words=words, language="de")
    assert engine.transcribe(speech()) == expected
    assert engine.transcribe(replace(speech(), partial=True)) == replace(expected, words=())
    assert recogniser.asked == [True, False]


def test_what_cannot_be_heard_is_not_listened_to_and_a_loop_is_no_text() -> None:
    recogniser = Recogniser("no " * 8)
    engine = transcribers.FasterWhisper(recogniser, Model("scripted", Path()))
    assert engine.transcribe(speech(np.zeros(16_000, np.int16))) == Transcript("")
    assert recogniser.asked == []
    assert engine.transcribe(speech()) == Transcript("")
    assert recogniser.asked == [True]


def test_only_a_recogniser_on_a_gpu_is_quick_enough_for_drafts() -> None:
    assert not transcribers.FasterWhisper(Recogniser(""), Model("base.en", Path(), "cpu")).quick
    assert transcribers.FasterWhisper(Recogniser(""), Model("base.en", Path(), "cuda")).quick


def test_a_spare_is_a_smaller_recogniser_of_the_same_kind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice, large = config.TranscriberSection(), transcribers.FasterWhisper(Recogniser(""), Model("base.en", tmp_path))
    assert open_spare(choice, tmp_path, transcribers.NoWords()) is None
    assert open_spare(choice, tmp_path, large) is None  # no other is here
    monkeypatch.setattr(transcribers, "smaller_model", lambda model, language, folder: Model("tiny.en", folder))
    monkeypatch.setattr(transcribers, "_open_whisper", lambda choice, model: model)
    assert open_spare(choice, tmp_path, large) == Model("tiny.en", tmp_path)


@pytest.mark.parametrize("engine", ["none", "faster-whisper", "pocketsphinx"])
def test_a_transcript_that_would_not_be_used_is_refused(sidecar: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(EngineError, match=rf"words\.vtt was given, but .* is {engine}"):
        open_transcriber(config.TranscriberSection(engine=engine), tmp_path, sidecar)


def test_a_transcript_that_was_not_given_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--transcript FILE"):
        open_transcriber(config.TranscriberSection(engine="transcript"), tmp_path)


@pytest.mark.parametrize("engine", ["auto", "faster-whisper"])
def test_weights_on_this_disk_are_used(tiny_model: Path, tmp_path: Path, engine: str) -> None:
    opened = open_transcriber(config.TranscriberSection(engine=engine, model=str(tiny_model), device="cpu"), tmp_path)
    assert opened.name.startswith("faster-whisper")
    assert opened.transcribe(speech()).engine is None  # it recognised this itself, whatever random weights say


@pytest.mark.parametrize(
    ("engine", "model"), [("faster-whisper", "auto"), ("faster-whisper", "base.en"), ("auto", "base.en")]
)
def test_absent_weights_are_named_with_the_command_that_fetches_them(tmp_path: Path, engine: str, model: str) -> None:
    """Whoever names a model gets that one or an error, whatever else is here."""
    name = r"\w+\.en" if model == "auto" else "base\\.en"
    with pytest.raises(EngineError, match=rf"'{name}' is not on this disk: erc-live models fetch {name}$"):
        open_transcriber(config.TranscriberSection(engine=engine, model=model), tmp_path)


def test_a_makeshift_says_what_it_is_and_what_would_be_better(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    choice = config.TranscriberSection()
    engine = open_transcriber(choice, tmp_path)
    assert engine.name == "pocketsphinx en-us"
    warning = makeshift(choice, engine)
    assert warning.startswith("words come from pocketsphinx en-us, far less accurate")
    assert re.search(r": erc-live models fetch \w+\.en$", warning)
    assert makeshift(config.TranscriberSection(engine="pocketsphinx"), engine) == ""  # as was asked for
    assert makeshift(choice, transcribers.NoWords()) == ""


def test_a_transcript_knows_which_cues_no_utterance_was_given(sidecar: Path, tmp_path: Path) -> None:
    opened = open_transcriber(config.TranscriberSection(), tmp_path, sidecar)
    assert isinstance(opened, transcribers.TranscriptFile)
    opened.transcribe(replace(speech(start_s=0.0, end_s=5.0), partial=True))
    assert [cue.text for cue in opened.unused] == ["Well,", "no."]  # a draft only looks
    opened.transcribe(speech(start_s=0.9, end_s=2.1))
    assert [cue.text for cue in opened.unused] == ["no."]


def test_a_model_that_nobody_knows_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"'huge'.*tiny\.en, base\.en"):
        open_transcriber(config.TranscriberSection(engine="faster-whisper", model="huge"), tmp_path)


@pytest.mark.usefixtures("without_pocketsphinx")
def test_with_nothing_at_all_both_remedies_are_given(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"erc-live models fetch \w+\.en, or pip install 'erc-live\[offline\]'"):
        open_transcriber(config.TranscriberSection(), tmp_path)


@pytest.mark.usefixtures("without_pocketsphinx")
def test_absent_pocketsphinx_is_named_with_its_extra(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[offline\]'"):
        open_transcriber(config.TranscriberSection(engine="pocketsphinx"), tmp_path)


def test_pocketsphinx_refuses_other_languages(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="only English"):
        open_transcriber(config.TranscriberSection(engine="pocketsphinx", language="de"), tmp_path)


def test_pocketsphinx_hears_the_same_words_whatever_came_before(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    pcm = read_pcm(shared_data / "recordings" / "jfk.flac")
    phrase, louder = pcm[5_000:35_000], pcm[52_000:68_000] * 2
    engine = open_transcriber(config.TranscriberSection(), tmp_path)  # auto: no weights here
    assert engine.name == transcribers.PocketSphinx.name
    first = engine.transcribe(speech(phrase))
    assert "my fellow" in first.text
    assert first.text.split() == [word.text for word in first.words]
    times = [time for word in first.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert 0 < times[0] < times[-1] <= len(phrase) / 16_000
    mean = np.mean([word.confidence for word in first.words])
    assert first.confidence == pytest.approx(POCKETSPHINX.confidence(np.log(mean)))
    assert first.language == "en"
    engine.transcribe(speech(louder))  # another mean spectrum
    assert engine.transcribe(speech(phrase)) == first


@pytest.mark.slow
def test_pocketsphinx_gets_more_than_half_of_real_speech_right(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    recording = shared_data / "recordings" / "jfk.flac"
    engine = open_transcriber(config.TranscriberSection(engine="pocketsphinx"), tmp_path)
    said = "".join(c for c in recording.with_suffix(".txt").read_text().lower() if c.isalpha() or c.isspace())
    assert errors_of(said, engine.transcribe(speech(read_pcm(recording))).text) < 0.5  # 0.41: it is no Whisper


def test_pocketsphinx_is_quiet_and_survives_an_empty_utterance(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx")
    engine = open_transcriber(config.TranscriberSection(engine="pocketsphinx"), tmp_path)
    engine.transcribe(speech())
    assert engine.transcribe(speech(np.zeros(0, np.int16))).text == ""
    assert capfd.readouterr() == ("", "")

"""The choice between the engines, and what each of them gives for an utterance."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sounds import read_pcm

from erc_live.live import config
from erc_live.live.engines import transcribers
from erc_live.live.engines.transcribers import Speech, Transcript, open_transcriber
from erc_live.live.errors import EngineError

WORDS = "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ada>Well,\n\n00:02.000 --> 00:04.000\n<v Ben>no.\n"


def speech(pcm: np.ndarray | None = None, start_s: float = 0.0, end_s: float = 1.0) -> Speech:
    return Speech(pcm=np.zeros(16_000, np.int16) if pcm is None else pcm, source="mic", start_s=start_s, end_s=end_s)


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
    engine = open_transcriber(config.Transcriber(engine="none"), tmp_path)
    assert (engine.name, engine.transcribe(speech())) == ("none", Transcript(""))


@pytest.mark.parametrize("engine", ["auto", "transcript"])
def test_a_transcript_gives_the_words_of_the_span(sidecar: Path, tmp_path: Path, engine: str) -> None:
    opened = open_transcriber(config.Transcriber(engine=engine), tmp_path, sidecar)
    assert opened.name == "transcript words.vtt"
    assert opened.transcribe(speech(start_s=0.9, end_s=3.9)) == Transcript("Well, no.", speaker="Ben")
    assert opened.transcribe(speech(start_s=0.9, end_s=3.9)) == Transcript("")  # said is said


@pytest.mark.parametrize("engine", ["none", "faster-whisper", "pocketsphinx"])
def test_a_transcript_that_would_not_be_used_is_refused(sidecar: Path, tmp_path: Path, engine: str) -> None:
    with pytest.raises(EngineError, match=rf"words\.vtt was given, but .* is {engine}"):
        open_transcriber(config.Transcriber(engine=engine), tmp_path, sidecar)


def test_a_transcript_that_was_not_given_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="--transcript FILE"):
        open_transcriber(config.Transcriber(engine="transcript"), tmp_path)


@pytest.mark.parametrize("engine", ["auto", "faster-whisper"])
def test_weights_on_this_disk_are_used(tiny_model: Path, tmp_path: Path, engine: str) -> None:
    opened = open_transcriber(config.Transcriber(engine=engine, model=str(tiny_model), device="cpu"), tmp_path)
    assert opened.name.startswith("faster-whisper")
    assert opened.transcribe(speech()) == Transcript("")  # random weights are never believed


def test_absent_weights_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"erc-live models fetch base\.en$"):
        open_transcriber(config.Transcriber(engine="faster-whisper"), tmp_path)


def test_a_model_that_nobody_knows_is_named_with_those_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"'huge'.*tiny\.en, base\.en"):
        open_transcriber(config.Transcriber(engine="faster-whisper", model="huge"), tmp_path)


@pytest.mark.usefixtures("without_pocketsphinx")
def test_with_nothing_at_all_both_remedies_are_given(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"erc-live models fetch base\.en, or pip install 'erc-live\[offline\]'"):
        open_transcriber(config.Transcriber(), tmp_path)


@pytest.mark.usefixtures("without_pocketsphinx")
def test_absent_pocketsphinx_is_named_with_its_extra(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[offline\]'"):
        open_transcriber(config.Transcriber(engine="pocketsphinx"), tmp_path)


def test_pocketsphinx_refuses_other_languages(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="only English"):
        open_transcriber(config.Transcriber(engine="pocketsphinx", language="de"), tmp_path)


def test_pocketsphinx_hears_the_same_words_whatever_came_before(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    pcm = read_pcm(shared_data / "recordings" / "jfk.flac")
    phrase, louder = pcm[5_000:35_000], pcm[52_000:68_000] * 2
    engine = open_transcriber(config.Transcriber(), tmp_path)  # auto: no weights here
    assert engine.name == transcribers.PocketSphinx.name
    first = engine.transcribe(speech(phrase))
    assert "my fellow" in first.text
    engine.transcribe(speech(louder))  # another mean spectrum
    assert engine.transcribe(speech(phrase)) == first


@pytest.mark.slow
def test_pocketsphinx_gets_more_than_half_of_real_speech_right(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    recording = shared_data / "recordings" / "jfk.flac"
    engine = open_transcriber(config.Transcriber(engine="pocketsphinx"), tmp_path)
    said = "".join(c for c in recording.with_suffix(".txt").read_text().lower() if c.isalpha() or c.isspace())
    assert errors_of(said, engine.transcribe(speech(read_pcm(recording))).text) < 0.5  # 0.41: it is no Whisper


def test_pocketsphinx_is_quiet_and_survives_an_empty_utterance(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pocketsphinx")
    engine = open_transcriber(config.Transcriber(engine="pocketsphinx"), tmp_path)
    engine.transcribe(speech())
    assert engine.transcribe(speech(np.zeros(0, np.int16))).text == ""
    assert capfd.readouterr() == ("", "")

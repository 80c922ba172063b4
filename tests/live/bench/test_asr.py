"""The bench of recognisers hears what a session hears, several of them side by side, and counts what they invent."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from erc_live.live import config as configuration
from erc_live.live.asr.transcribers import Speech, Transcript
from erc_live.live.bench import asr, asr_report
from erc_live.live.bench.asr import AsrReport, BenchedRecogniser, bench_asr, open_recognisers
from erc_live.live.bench.recognisers import Choice, choices, configured
from erc_live.live.bench.references import Clip, Reference, find_clips
from erc_live.live.bench.word_errors import normaliser
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError
from erc_live.streams.media import encode_flac

pytest.importorskip("jiwer")
pytest.importorskip("whisper_normalizer")


@dataclass
class Parrot:
    """Says the same of everything."""

    text: str
    name: str = "parrot"
    quick: bool = True
    heard: list[Speech] = field(default_factory=list)

    def transcribe(self, utterance: Speech) -> Transcript:
        self.heard.append(utterance)
        return Transcript(self.text)


def clip(folder: Path, name: str, said: Sequence[str], seconds: float = 2.0, **reference) -> Clip:
    path = folder / f"{name}.flac"
    path.write_bytes(encode_flac(np.full(int(seconds * 16_000), 100, np.int16)))
    return Clip(path, Reference(tuple(said), **reference))


def run(clips: Sequence[Clip], recognisers: Sequence[BenchedRecogniser]) -> AsrReport:
    return bench_asr(clips, recognisers, Config(), normaliser("en"))


def shown(report: AsrReport) -> list[str]:
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(asr_report.render(report))
    return capture.get().splitlines()


def two_utterances(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Speech(np.zeros(8_000, np.int16), "mic-0", start, start + 0.5) for start in (0.0, 1.0)]
    monkeypatch.setattr(asr, "_utterances", lambda pcm, config: parts)


def test_all_recognisers_hear_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_utterances(monkeypatch)
    parrot, deaf = Parrot("good dog"), Parrot("", "deaf")
    recognisers = [
        BenchedRecogniser("parrot", parrot),
        BenchedRecogniser("deaf", deaf),
        BenchedRecogniser("parrot, whole", parrot, "whole"),
    ]
    shares: dict[str, float] = {}

    def progress(what: str, share: float) -> None:
        shares[what] = shares.get(what, 0.0) + share

    clips = [clip(tmp_path, "a", ["Good dog,", "good dog."])]
    report = bench_asr(clips, recognisers, Config(), normaliser("en"), progress)
    assert [len(speech.pcm) for speech in parrot.heard] == [8_000, 8_000, 32_000]
    assert [len(speech.pcm) for speech in deaf.heard] == [8_000, 8_000]
    assert shares == {"parrot: a.flac": 1.0, "deaf: a.flac": 1.0, "parrot, whole: a.flac": 1.0}
    plain = json.loads(json.dumps(asr_report.plain(report)))
    speech = [row["speech"] for row in plain["recognisers"]]
    assert [row["wer"] for row in speech] == [0.0, 1.0, 0.5]
    assert [(row["errors"]["lost"], row["wordless"], row["utterances"]) for row in speech] == [
        (0, 0, 2),
        (2, 2, 2),
        (1, 0, 1),
    ]
    assert speech[0]["rtf"] >= 0
    assert plain["clips"][0]["results"][0]["text"] == "good dog good dog"
    assert [row["significant"] for row in plain["differences"]] == [False, False]  # of two utterances


def test_words_where_nobody_speaks_are_counted_by_the_hour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_utterances(monkeypatch)
    recognisers = [BenchedRecogniser("parrot", Parrot("Thank you, hmm.")), BenchedRecogniser("deaf", Parrot(""))]
    clips = [clip(tmp_path, name, [], seconds=1.8) for name in ("hum", "hiss")]
    report = run(clips, recognisers)
    loud, quiet = (asr_report.non_speech(report, number) for number in (0, 1))
    assert loud is not None
    assert quiet is not None
    assert (loud.words, loud.utterances, loud.with_words) == (12, 4, 4)
    assert loud.words_per_hour == pytest.approx(12_000)  # in 3.6 s
    assert quiet.words == 0
    assert asr_report.speech(report, 0) is None
    lines = shown(report)
    assert lines[-1] == 'parrot heard: "Thank you, hmm." (4)'
    assert "nobody speaks: 2 recordings, 4 s" in lines
    with pytest.raises(ConfigError, match="nobody speaks in these recordings"):
        asr_report.plot(tmp_path / "errors.svg", report)


def test_pieces_of_one_length_go_past_the_detector(tmp_path: Path) -> None:
    parrot = Parrot("")
    run([clip(tmp_path, "a", [], 2.5)], [BenchedRecogniser("parrot, 1", parrot, "1")])
    assert [len(speech.pcm) for speech in parrot.heard] == [16_000, 16_000, 8_000]


def test_what_nobody_knows_the_words_of_is_not_heard(tmp_path: Path) -> None:
    parrot = Parrot("")
    run([clip(tmp_path, "a", ["dog"], 2.0, ignored=((0.5, 1.5),))], [BenchedRecogniser("p", parrot, "whole")])
    (speech,) = parrot.heard
    assert np.array_equal(np.flatnonzero(speech.pcm == 0), np.arange(8_000, 24_000))


def test_differences_are_told_only_where_they_are_some(tmp_path: Path) -> None:
    @dataclass
    class Sometimes(Parrot):
        """Says nothing to every second piece."""

        def transcribe(self, utterance: Speech) -> Transcript:
            self.heard.append(utterance)
            return Transcript(self.text if len(self.heard) % 2 else "")

    clips = [clip(tmp_path, f"{number}", ["good dog"], 0.5) for number in range(20)]
    recognisers = [
        BenchedRecogniser("best", Parrot("good dog"), "whole"),
        BenchedRecogniser("same", Parrot("Good dog!"), "whole"),
        BenchedRecogniser("worse", Sometimes("good dog"), "whole"),
    ]
    report = run(clips, recognisers)
    same, worse = asr_report.differences(report)
    assert (same.significant, same.points, worse.significant, worse.points) == (False, 0.0, True, 0.5)
    lines = shown(report)
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("same against best: no difference (+0.0 points") for line in lines)
    assert any(line.startswith("worse against best: +50.0 points, 95 % from +") for line in lines)
    assert sum(line.startswith(tuple("0123456789")) for line in lines) == 10  # recordings that somebody misheard
    assert any(line.startswith("WER %, most errors (10 of 20)") for line in lines)
    asr_report.plot(tmp_path / "errors.svg", report)
    assert "<svg" in (tmp_path / "errors.svg").read_text()


def test_a_recogniser_is_called_as_people_do() -> None:
    tiny, sphinx = choices(["tiny.en", "pocketsphinx"])
    config = configured(tiny, ["transcriber.threads=1"]).transcriber
    assert (config.engine, config.model, config.threads) == ("faster-whisper", "tiny.en", 1)
    assert configured(sphinx, []).transcriber.engine == "pocketsphinx"
    assert choices(None) == (Choice("configured"),)
    assert configured(choices(None)[0], []) == configuration.load().config
    with pytest.raises(ConfigError, match="--recogniser base: it is named twice"):
        choices(["base", "tiny", "base"])


@pytest.mark.parametrize("cut", ["half", "0", "nan", "-3", "inf"])
def test_a_cut_that_is_none_is_refused_before_anything_is_loaded(cut: str) -> None:
    with pytest.raises(ConfigError, match=f"--cut {cut}: it is session, whole, or a length in s"):
        open_recognisers(choices(["no-such-weights"]), [cut], [])


def test_each_recogniser_is_cut_in_each_way() -> None:
    found = open_recognisers(choices(["none"]), ["session", "whole", "5"], [])
    assert [(r.name, r.cut) for r in found] == [("none", "session"), ("none, whole", "whole"), ("none, 5", "5")]


def test_the_demo_is_two_voices_that_say_different_things() -> None:
    ada, ben = asr.demo_clips()
    assert (ada.path.name, ben.path.name) == ("ada.flac", "ben.flac")
    assert "wonderful news" in " ".join(ada.reference.utterances)
    assert "wonderful news" not in " ".join(ben.reference.utterances)


@pytest.mark.real
def test_clear_speech_is_heard_with_one_error_at_most_by_the_smallest_recogniser(shared_data: Path) -> None:
    clips = find_clips([shared_data / "recordings" / "jfk.flac"])
    report = run(clips, open_recognisers(choices(["tiny.en"]), ["session", "whole"], []))
    for number in (0, 1):
        found = asr_report.speech(report, number)
        assert found is not None
        assert found.errors.words == 22
        assert found.errors.total <= 1  # none on most: the sums of its 8-bit weights round as the processor does


@pytest.mark.slow
def test_real_speech_is_cut_into_utterances_and_half_of_its_words_are_right(shared_data: Path) -> None:
    pytest.importorskip("pocketsphinx")
    clips = find_clips([shared_data / "recordings" / "jfk.flac"])
    report = run(clips, open_recognisers(choices(["pocketsphinx"]), ["session", "whole"], []))
    cut, whole = (asr_report.speech(report, number) for number in (0, 1))
    assert cut is not None
    assert whole is not None
    assert cut.utterances >= 3
    assert cut.errors.words == whole.errors.words == 22
    assert (whole.errors.rate or 1) < 0.5

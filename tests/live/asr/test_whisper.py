"""faster-whisper's own code on a tiny random model: deterministic, gated, offline, and safe where CUDA is broken."""

import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from erc_live.live import config
from erc_live.live.asr import whisper
from erc_live.live.asr.hallucination_filter import CredibleLimits
from erc_live.live.asr.whisper import Whisper, WhisperSegment
from erc_live.live.asr.whisper_models import Model, find_model
from erc_live.live.bench.recordings import read
from erc_live.live.demo.recognition import words
from erc_live.live.errors import EngineError

OPEN = CredibleLimits(no_speech_prob=1.0, avg_logprob=-1e9, compression_ratio=1e9)  # random weights are never sure


def open_whisper(folder: Path, limits: CredibleLimits = OPEN, **keys: object) -> Whisper:
    return Whisper(config.TranscriberSection(model=str(folder), **keys), Model(str(folder), folder), limits)


def texts(engine: Whisper, pcm: np.ndarray) -> list[str]:
    return [segment.text for segment in engine.recognise(pcm)[0]]


def sound(seed: int, seconds: float = 2.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3000, int(seconds * 16_000)).astype(np.int16)


@pytest.mark.usefixtures("no_network")
def test_the_same_sound_gives_the_same_words_whatever_came_before(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    first = texts(engine, sound(1))
    assert first
    assert texts(engine, sound(2)) != first
    assert texts(engine, sound(1)) == first
    assert texts(open_whisper(tiny_model), sound(1)) == first


def test_words_have_times_within_the_sound(tiny_model: Path) -> None:
    (segment, *_), _ = open_whisper(tiny_model).recognise(sound(1, 3.0))
    assert segment.words
    times = [time for word in segment.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert 0 <= times[0] <= times[-1] <= 3.1
    assert all(0 <= word.probability <= 1 for word in segment.words)
    (plain, *_), _ = open_whisper(tiny_model).recognise(sound(1, 3.0), with_words=False)
    assert (plain.text, plain.words) == (segment.text, None)


class Encoded:
    """What the encoder of a recogniser was given."""

    def __init__(self, engine: Whisper) -> None:
        self.windows: list[np.ndarray] = []
        self._encode = engine._encode
        engine._encode = self

    def __call__(self, features: np.ndarray) -> object:
        self.windows.append(features)
        return self._encode(features)


def test_a_short_window_holds_the_sound_and_enough_silence_in_whole_seconds(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    for seconds, frames in ((0.4, 1500), (3.0, 1500), (7.01, 1600), (14.0, 2200), (21.99, 3000), (30.0, 3000)):
        encoded = Encoded(engine)
        texts(engine, sound(1, seconds))  # of random weights: on some processors none
        assert [window.shape[-1] for window in encoded.windows[:1]] == [frames]
        assert len(encoded.windows) <= 2
    assert texts(engine, np.zeros(16_000, np.int16)) is not None  # all mels of silence are equal, and it is encoded


def test_after_the_sound_stands_the_silence_that_whisper_was_trained_on(tiny_model: Path) -> None:
    for short in (True, False):
        encoded = Encoded(engine := open_whisper(tiny_model, short_windows=short))
        texts(engine, sound(1, 2.0))
        for window in encoded.windows:
            assert np.ptp(window[:, 200:]) == 0
            assert window[:, 200:].max() == pytest.approx(window[:, :200].max() - 2.0)


def test_what_is_not_believed_in_a_short_window_is_heard_again_in_a_whole_one(tiny_model: Path) -> None:
    encoded = Encoded(engine := open_whisper(tiny_model, CredibleLimits(avg_logprob=0.0)))
    assert texts(engine, sound(1)) == []
    assert [window.shape[-1] for window in encoded.windows] == [1500, 3000]


def test_a_text_that_did_not_come_to_an_end_is_not_believed_in_a_short_window(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    (segment, *_), _ = engine.recognise(sound(1))
    most = engine._most_tokens(32_000)
    ended, endless = (SimpleNamespace(**segment.__dict__ | {"tokens": [1] * n}) for n in (most - 1, most))
    assert engine._credible([ended], 32_000)
    assert not engine._credible([endless], 32_000)
    assert not engine._credible([], 32_000)


@pytest.mark.real
def test_clear_speech_is_understood_in_short_windows_and_in_whole_ones(tiny_en: Path, shared_data: Path) -> None:
    pcm = read(shared_data / "recordings" / "jfk.flac")
    said = (shared_data / "recordings" / "jfk.txt").read_text(encoding="utf-8")
    for short in (True, False):
        engine = open_whisper(tiny_en, CredibleLimits(), short_windows=short)
        segments, language = engine.recognise(pcm)
        assert words(" ".join(segment.text for segment in segments)) == words(said)
        assert language == "en"


@pytest.mark.real
def test_noise_is_no_words(tiny_en: Path) -> None:
    engine = open_whisper(tiny_en, CredibleLimits())
    time = np.arange(48_000) / 16_000
    hum = (9000 * np.sign(np.sin(2 * np.pi * 50 * time))).astype(np.int16)
    for noise in (sound(1, 1.0), sound(2, 3.0), hum, np.zeros(32_000, np.int16)):
        assert texts(engine, noise) == []


def test_a_multilingual_model_is_asked_for_the_language_of_what_it_encoded(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model)
    assert engine.recognise(sound(1))[1] == "en"
    several = SimpleNamespace(detect_language=lambda encoded: [[(f"<|{encoded}|>", 0.9), ("<|en|>", 0.1)]])
    engine._model, engine._language = SimpleNamespace(model=several), None  # no such model is small
    engine._encode = lambda features: "de"
    assert engine._encode_window(np.ones((80, 3000))) == "de"
    assert engine._detected == "de"


def test_languages_are_asked_of_the_model_only_where_it_knows_several() -> None:
    assert whisper._language("auto", ["en", "de"], "base") is None
    assert whisper._language("auto", ["en"], "base.en") == "en"
    with pytest.raises(EngineError, match=r"base\.en does not know the language 'de': choose a multilingual"):
        whisper._language("de", ["en"], "base.en")


def test_its_name_tells_model_precision_and_device(tiny_model: Path) -> None:
    assert open_whisper(tiny_model).name.startswith("faster-whisper converted int8")
    assert open_whisper(tiny_model, compute_type="float32").name == "faster-whisper converted float32 cpu"


def test_text_that_no_gate_believes_is_no_text(tiny_model: Path) -> None:
    engine = open_whisper(tiny_model, CredibleLimits(avg_logprob=0.0))
    engine.warm_up()
    assert texts(engine, sound(1)) == []


def test_the_length_of_the_text_is_bounded_by_the_length_of_the_sound(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_whisper(tiny_model)
    asked: list[int] = []

    class Decoder:
        def transcribe(self, samples: np.ndarray, **options: int) -> tuple[list[WhisperSegment], None]:
            asked.append(options["max_new_tokens"])
            return [], None

    monkeypatch.setattr(engine, "_model", Decoder())
    for seconds in (0.5, 5.0, 15.0):
        assert texts(engine, sound(0, seconds)) == []
    assert asked == [11, 11, 51, 51, 141, 141]  # nothing came, so each is tried again in a whole window


@pytest.mark.parametrize("missing", ["config.json", "model.bin", "tokenizer.json", "vocabulary.json"])
@pytest.mark.usefixtures("no_network")
def test_an_incomplete_folder_is_refused_before_anything_asks_the_hub(
    tiny_model: Path, tmp_path: Path, missing: str
) -> None:
    broken = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (broken / missing).unlink()
    with pytest.raises(EngineError, match="it has no " + missing.split(".")[0]):
        find_model(str(broken), tmp_path)


def test_a_damaged_model_is_named(tiny_model: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny_model, tmp_path / "model"))
    (broken / "model.bin").write_bytes(b"half a download")
    with pytest.raises(EngineError, match=r"cannot load .*model"):
        open_whisper(broken)


def test_a_precision_that_does_not_exist_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="int3"):
        open_whisper(tiny_model, compute_type="int3")


def test_a_language_that_it_does_not_know_is_named(tiny_model: Path) -> None:
    with pytest.raises(EngineError, match="language 'klingon'"):
        open_whisper(tiny_model, language="klingon")

"""`erc-live encoder ... voice` on a small folder of clips named as RAVDESS is."""

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import platformdirs
import pytest
from tiny_voice import TINY, tiny_listener
from typer.testing import CliRunner

from erc_live.live.commands.encoder import encoder_app
from erc_live.live.commands.experiment import experiment_app
from erc_live.live.errors import ConfigError
from erc_live.models.encoders.voice import RATE_HZ, VOICE_LABELS, VoiceEncoder
from erc_live.models.errors import CorpusError, WeightsError
from erc_live.models.training import voice_training
from erc_live.models.training.voice_training import VoiceTraining

EMOTIONS = range(1, 9)


def write_wav(path: Path, emotion: int, actor: int) -> None:
    time = np.arange(RATE_HZ // 2) / RATE_HZ
    pitch = 150 + 60 * emotion + 2 * actor
    pcm = (5_000 * np.sin(2 * np.pi * pitch * time) * (1 + np.sin(2 * np.pi * emotion * time))).astype(np.int16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        frame = av.AudioFrame.from_ndarray(pcm[None], format="s16", layout="mono")
        frame.sample_rate = RATE_HZ
        container.mux([*stream.encode(frame), *stream.encode(None)])


def folder_of(path: Path, actors: list[int]) -> Path:
    for actor in actors:
        for emotion in EMOTIONS:
            write_wav(path / f"Actor_{actor:02}" / f"03-01-{emotion:02}-01-01-01-{actor:02}.wav", emotion, actor)
    return path


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "corpus", [1, 2, 17])


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    """Only the actors of the test split, and no index."""
    return folder_of(tmp_path / "held_out", [21, 24])


def run(*arguments: object) -> str:
    done = CliRunner().invoke(encoder_app, [str(argument) for argument in arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def test_what_a_baseline_is_worth_is_measured_on_actors_who_taught_nothing(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "acted", [1, 17, 18, 19])
    arguments = ["baseline", "--corpus", str(folder), "--first", "2", "--json"]
    done = CliRunner().invoke(experiment_app, arguments)
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)["comparisons"]
    assert [(row["people"], row["utterances"]) for row in rows] == [(4, 24), (4, 24), (3, 18), (3, 18)]
    with pytest.raises(CorpusError, match="nothing is left after 8"):
        CliRunner().invoke(experiment_app, arguments[:3], catch_exceptions=False)


def scored(*arguments: object) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(run("evaluate", "voice", "--json", *arguments))
    return answer


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of one copy by a network that is less deep, with a cache of its own."""
    config = VoiceTraining(copies=1, network=TINY)
    monkeypatch.setattr(VoiceTraining.__init__, "__defaults__", tuple(vars(config).values()))
    monkeypatch.setattr(voice_training, "begun", lambda *_: tiny_listener())
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda _: tmp_path / "cache")


@pytest.mark.usefixtures("small")
def test_training_writes_weights_that_can_be_measured(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    run("train", "voice", "--corpus", corpus, "--out", out, "--seed", 3)
    card = json.loads((out / "card.json").read_text())
    assert card["training"]["seed"] == 3
    assert "CC BY-NC-SA 4.0" in card["training"]["licence"]
    answer = scored("--corpus", corpus, "--weights", out)
    assert answer["weights"] == VoiceEncoder.load(out).fingerprint
    assert {name: answer[name] for name in card["scores"]["dev"]} == card["scores"]["dev"]


@pytest.mark.usefixtures("small")
def test_folds_score_every_actor_and_keep_what_learnt_from_all(tmp_path: Path) -> None:
    corpus = folder_of(tmp_path / "corpus", [2, 17])
    out = tmp_path / "run"
    run("train", "voice", "--corpus", corpus, "--out", out, "--folds", 2)
    card = json.loads((out / "card.json").read_text())
    assert set(card["scores"]["folds"]["people"]) == {"02", "17"}
    assert card["scores"]["folds"]["clips"] == 16
    assert card["training"]["corpus"].startswith("RAVDESS speech, actors 1-20")
    with pytest.raises(CorpusError, match="--folds 4: 2 groups"):
        run("train", "voice", "--corpus", corpus, "--out", tmp_path / "four", "--folds", 4)


@pytest.mark.usefixtures("small")
def test_a_training_that_is_stopped_says_how_it_goes_on(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from erc_live.models.training.voice_dataset import Hearing

    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Hearing, "describe", stopped)
    arguments = ["train", "voice", "--corpus", str(corpus), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(encoder_app, arguments)
    assert done.exit_code == 130
    assert "the same command goes on" in done.stderr


def test_held_out_actors_are_scored_without_an_index(held_out: Path) -> None:
    answer = scored("--corpus", held_out, "--split", "test")
    assert answer["clips"] == 16
    assert answer["missing"] == []
    assert set(answer["recall"]) == set(VOICE_LABELS)
    assert sum(map(sum, answer["confusion"])) == 16
    assert scored("--corpus", held_out, "--split", "all")["uar"] == answer["uar"]
    with pytest.raises(CorpusError, match="actors 17 to 20"):
        run("evaluate", "voice", "--corpus", held_out)


def test_degradations_are_named_and_done(held_out: Path) -> None:
    answer = scored("--corpus", held_out, "--split", "test", "--degrade", "noise", "--degrade", "telephone")
    assert answer["degrade"] == ["noise", "telephone"]
    with pytest.raises(ConfigError, match="telephone, noise, room"):
        run("evaluate", "voice", "--corpus", held_out, "--split", "test", "--degrade", "rain")


def test_a_table_for_people(held_out: Path) -> None:
    shown = run("evaluate", "voice", "--corpus", held_out, "--split", "test")
    assert "16 clips: UAR" in shown
    assert "surprise" in shown


def test_clips_that_cannot_be_read_are_left_out_of_scoring_and_named(held_out: Path) -> None:
    damaged = held_out / "Actor_21" / "03-01-01-01-01-01-21.wav"
    damaged.write_bytes(b"not sound")
    answer = scored("--corpus", held_out, "--split", "test")
    assert answer["clips"] == 15
    assert [str(damaged) in line for line in answer["missing"]] == [True]
    for clip in held_out.glob("**/*.wav"):
        clip.write_bytes(b"not sound")
    with pytest.raises(CorpusError, match="no clip of test can be read, of 16"):
        run("evaluate", "voice", "--corpus", held_out, "--split", "test")


@pytest.mark.usefixtures("small")
def test_training_does_not_begin_with_a_clip_that_cannot_be_read(corpus: Path, tmp_path: Path) -> None:
    (corpus / "Actor_01" / "03-01-02-01-01-01-01.wav").write_bytes(b"")
    with pytest.raises(CorpusError, match="1 of 16 clips cannot be read"):
        run("train", "voice", "--corpus", corpus, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_corpus_or_weights_that_are_not_there(tmp_path: Path, held_out: Path) -> None:
    for split in ("dev", "all"):
        with pytest.raises(CorpusError, match="no clips of RAVDESS"):
            run("evaluate", "voice", "--corpus", tmp_path / "nowhere", "--split", split)
    with pytest.raises(WeightsError, match=r"card\.json"):
        run("evaluate", "voice", "--corpus", held_out, "--split", "test", "--weights", tmp_path)


@pytest.mark.slow
def test_shipped_weights_have_learnt_from_the_actors_of_their_card(shared_data: Path) -> None:
    """The real corpus, on actors that they know: no fold may be better."""
    from erc_live.models.card import PRETRAINED

    corpus = shared_data / "ravdess"
    if not corpus.is_dir():
        pytest.skip(f"needs the clips in {corpus}")
    answer = scored("--corpus", corpus)
    card = json.loads((PRETRAINED / "voice" / "card.json").read_text())
    assert answer["clips"] == 240
    assert answer["uar"] > card["scores"]["folds"]["uar"]

"""`erc-live corrections`: what people corrected becomes a corpus, and training on it makes the next session better."""

import json
import random
import shutil
import stat
from pathlib import Path

import numpy as np
import pytest
from commands import run
from examples import event, hello
from tiny_bert import make_tiny_bert

from erc_live.live.commands.corpus import corpus_check
from erc_live.live.commands.corrections import corrections
from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.train import train
from erc_live.models.corpora import read
from erc_live.models.corpora.neutral import read_alone
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.streams.annotations import Annotation
from erc_live.streams.media import audio_chunks
from erc_live.streams.messages import AudioChunk, Recogniser, UtteranceFeatures
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSource, new_manifest

S = 1_000_000_000
LABELS = ("joy", "anger")
KEYS = ("speaker", "text", "label")


def label(utterance: str, name: str, author: str = "Ann", wall_ns: int = 1) -> Annotation:
    return Annotation(
        session="s1", t_ns=0, wall_ns=wall_ns, author=author, kind="label", utterance=utterance, label=name
    )


def estimate(n: int, name: str, **fields):
    probs = {each: float(each == name) for each in LABELS}
    span = {"t_start_ns": n * S, "t_end_ns": n * S + S // 2}
    return event(n, label=name, probs=probs, dialogue="main", **(span | fields))


def bundle(folder: Path, messages, config=None, sound_s: float = 0) -> Path:
    sources = [RecordedSource(name="mic", kind="audio")]
    with Recorder(folder, new_manifest(folder.name, 0, 0, sources, config or {})) as recorder:
        recorder.write(hello(labels=LABELS))
        for n in range(int(sound_s * 31.25)):
            pcm = (np.arange(n * 512, n * 512 + 512) % 3000).astype(np.int16)
            recorder.write(AudioChunk(source="mic", t_ns=n * 32_000_000, pcm=pcm))
        for message in messages:
            recorder.write(message)
    return folder


def features(utterance: str, prosody: list[float], encoder: str) -> UtteranceFeatures:
    vector = np.array([*prosody, *[np.nan] * 7], np.float32)
    return UtteranceFeatures(
        dialogue="main", utterance=utterance, source="mic", speaker_name=None, text="", engine=Recogniser(name="e"),
        t_start_ns=0, t_end_ns=1, t_closed_ns=1, t_text_ns=1, t_features_ns=1, face_coverage=None, final=True,
        revision=0, words=(), text_confidence=None, skipped=False, closed_by="silence",
        vectors={"audio": vector}, encoders={"audio": encoder},
    )  # fmt: skip


def test_labels_are_what_people_said_and_the_rest_is_context(tmp_path):
    talk = [estimate(n, "joy", text=f"t{n}", speaker=n % 2, speaker_name="Ann", source="mic") for n in range(6)]
    said = [label("u1", "anger"), label("u4", "joy"), label("u5", "bored", "Ann"), label("u5", "bored", "Ben")]
    made = bundle(tmp_path / "monday", [*talk, *said, label("u5", "fear", "Eva", 9)])
    code, out = run(corrections, made, "-o", tmp_path / "corpus")
    assert code == 0
    assert "utterances: 6, with a label: 3 (2 corrected, 1 confirmed)" in out
    assert (tmp_path / "corpus" / "labels.txt").read_text().split() == ["joy", "anger", "bored"]
    spoken = [each for dialogue in read_alone(tmp_path / "corpus" / "train.jsonl", "train").dialogues
              for each in dialogue.utterances]  # fmt: skip
    assert [(each.text, each.label) for each in spoken] == [
        ("t0", None), ("t1", "anger"), ("t2", None), ("t3", None), ("t4", "joy"), ("t5", "bored")
    ]  # fmt: skip
    assert {each.speaker for each in spoken} == {"Ann", "Ann (2)"}
    assert run(corpus_check, tmp_path / "corpus")[0] == 0
    assert {name: len(read(tmp_path / "corpus", name).dialogues) for name in ("train", "dev")}["dev"] == 1


def test_who_reviewed_everything_confirms_what_was_left(tmp_path):
    made = bundle(tmp_path / "s", [estimate(0, "joy"), estimate(1, "joy"), label("u1", "anger")])
    code, out = run(corrections, made, "-o", tmp_path / "corpus", "--reviewed")
    assert (code, "with a label: 2 (1 corrected, 1 left as they were)" in out) == (0, True)
    assert stat.S_IMODE((tmp_path / "corpus").stat().st_mode) == 0o700


def test_a_long_session_is_cut_at_its_pauses(tmp_path):
    times = [n + 30 * (n >= 25) + 30 * (n >= 55) for n in range(90)]
    talk = [estimate(n, "joy", t_start_ns=t * S, t_end_ns=t * S + S) for n, t in enumerate(times)]
    made = bundle(tmp_path / "s", talk)
    assert run(corrections, made, "-o", tmp_path / "corpus", "--reviewed")[0] == 0
    dialogues = read_alone(tmp_path / "corpus" / "train.jsonl", "train").dialogues
    assert [len(dialogue.utterances) for dialogue in dialogues][:2] == [25, 30]
    assert sum(len(dialogue.utterances) for dialogue in dialogues) == 90


def test_a_single_label_keeps_all_the_context_that_a_network_looks_at(tmp_path):
    made = bundle(tmp_path / "s", [*(estimate(n, "joy") for n in range(30)), label("u29", "anger")])
    code, out = run(corrections, made, "-o", tmp_path / "corpus")
    assert (code, "dialogues: 1, utterances: 30, with a label: 1" in out) == (0, True)


def test_sound_and_prosody_are_taken_along(tmp_path):
    values = [0.5, 60, 3, 200, 10, 40, 4, 12]
    known = features("u0", values, f"{ProsodyEncoder().fingerprint}+v")
    old = features("u2", values, "prosody/0@16000+v")
    talk = [estimate(n, "joy", source="mic") for n in (0, 2, 4)]
    messages = [*talk, known, old, *(label(f"u{n}", "anger") for n in (0, 2, 4))]
    made = bundle(tmp_path / "s", messages, sound_s=6)
    assert run(corrections, made, "-o", tmp_path / "corpus")[0] == 0
    spoken = [each for dialogue in read_alone(tmp_path / "corpus" / "train.jsonl", "train").dialogues
              for each in dialogue.utterances]  # fmt: skip
    assert [each.prosody for each in spoken] == [tuple(values), None, None]
    for n, each in zip((0, 2, 4), spoken, strict=True):
        pcm = np.concatenate([chunk.pcm for chunk in audio_chunks(each.audio, "", 0)])
        assert np.array_equal(pcm, (np.arange(n * 16_000, n * 16_000 + 8_000) % 3000).astype(np.int16))
    quiet = bundle(tmp_path / "t", messages, {"session": {"text_only": True}}, sound_s=6)
    assert run(corrections, quiet, "-o", tmp_path / "words")[0] == 0
    assert not (tmp_path / "words" / "sound").exists()


def test_mistakes_are_one_line(tmp_path):
    made = bundle(tmp_path / "s", [estimate(0, "joy")])
    code, said = run(corrections, made, "-o", tmp_path / "corpus")
    assert (code, "nobody gave an utterance of these sessions a label" in said, "\n" in said) == (4, True, False)
    assert not (tmp_path / "corpus").exists()
    shutil.copytree(made, tmp_path / "corpus")
    code, said = run(corrections, made, "-o", tmp_path / "corpus", "--reviewed")
    assert (code, "is there already" in said) == (4, True)
    assert run(corrections, tmp_path / "nothing", "-o", tmp_path / "c")[0] == 4
    code, said = run(corrections, made, "-o", made / "corpus", "--reviewed")
    assert (code, "is inside the recorded session" in said) == (2, True)


def test_a_session_that_is_named_twice_counts_once(tmp_path, capsys):
    made = bundle(tmp_path / "s", [estimate(0, "joy"), label("u0", "anger")])
    corrections([made, tmp_path / "s" / ".." / "s"], tmp_path / "corpus", False)
    printed = capsys.readouterr()
    assert "dialogues: 1, utterances: 1" in printed.out
    assert "is taken once" in printed.err


# A made example. Everybody says "great" for joy and "awful" for anger; these people say "here" and "what" as well, of
# which the weights have learnt nothing. After "well" an utterance expresses what the one before it did.
COMMON, OWN = {"great": "joy", "awful": "anger"}, {"here": "joy", "what": "anger"}


def talks(seed: str, count: int, words: dict[str, str]) -> list[list[tuple[str, str, str]]]:
    """Dialogues of (speaker, words, what they express)."""
    draw, out = random.Random(seed), []
    for _ in range(count):
        turns: list[tuple[str, str, str]] = []
        for _ in range(draw.randint(3, 6)):
            word = draw.choice([*words])
            turn = (f"{draw.choice('abc')} {word}", words[word])
            if turns and draw.random() < 0.2:
                turn = ("well", turns[-1][2])
            turns.append((draw.choice("XY"), *turn))
        out.append(turns)
    return out


def neutral(folder: Path, **splits: list[list[tuple[str, str, str]]]) -> Path:
    folder.mkdir()
    for name, dialogues in splits.items():
        lines = [
            json.dumps({"dialogue": f"{name}{n}", "utterances": [dict(zip(KEYS, turn, strict=True)) for turn in turns]})
            for n, turns in enumerate(dialogues)
        ]
        (folder / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    (folder / "labels.txt").write_text("\n".join(LABELS) + "\n")
    return folder


def recorded(folder: Path, turns: list[tuple[str, str, str]], share: float, draw: random.Random) -> Path:
    """A session of estimates that are always "joy"; people put right a share of what is wrong, and confirm as much."""
    messages = []
    for n, (who, text, expressed) in enumerate(turns):
        messages.append(estimate(n, "joy", text=text, speaker="XY".index(who), speaker_name=who))
        if draw.random() < share:
            messages.append(label(f"u{n}", expressed))
    return bundle(folder, messages)


SIZES = ("--size", "width=16", "--size", "heads=2", "--size", "layers=1", "--size", "window=3", "--size", "dropout=0.0")
HOW = ("--rate", "1e-2", "--batch", 24, "--unpunctuated", 0, *SIZES)


def learnt(tmp_path: Path, seed: int, sessions: int = 8) -> dict:
    """The weights before and after, on dialogues of these people that nobody corrected."""
    encoder, both = make_tiny_bert(tmp_path / "bert"), COMMON | OWN
    first = neutral(tmp_path / "first", train=talks(f"a{seed}", 60, COMMON), dev=talks(f"b{seed}", 20, COMMON))
    before, after = tmp_path / "before", tmp_path / "after"
    seeds = ("--seeds", f"{seed},")
    assert run(train, "--corpus", first, "--encoder", encoder, "--out", before, *HOW, "--epochs", 4, *seeds)[0] == 0
    draw = random.Random(seed)
    made = [
        recorded(tmp_path / f"session{n}", [turn for one in talks(f"c{seed}{n}", 5, both) for turn in one], 0.6, draw)
        for n in range(sessions)
    ]
    assert run(corrections, *made, "-o", tmp_path / "corpus")[0] == 0
    where = ("--corpus", tmp_path / "corpus", "--start", before, "--out", after)
    assert run(train, *where, *HOW, *seeds)[0] == 0
    held_out = neutral(tmp_path / "held", test=talks(f"d{seed}", 60, both))
    weights = ("--weights", before, "--weights", after)
    code, said = run(evaluate, "--corpus", held_out, "--split", "test", *weights, "--json")
    assert code == 0, said
    return json.loads(said)


def test_learning_from_corrections_helps(tmp_path, monkeypatch):
    """Of weighted F1 on dialogues of the same people that nobody corrected, the whole interval lies above nothing."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert learnt(tmp_path, 0)["differences"][0]["low"] > 0.05


@pytest.mark.slow
def test_it_helps_whatever_the_seed(tmp_path, monkeypatch):
    """Prints the figures that live/README.md has: pytest -m slow -s."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for seed in range(5):
        (tmp_path / str(seed)).mkdir()
        found = learnt(tmp_path / str(seed), seed)
        before, after = (run["weighted_f1"] for run in found["runs"])
        gained = found["differences"][0]
        print(f"seed {seed}: {before:.3f} -> {after:.3f}, {gained['low']:+.3f} to {gained['high']:+.3f}")  # noqa: T201
        assert gained["low"] > 0

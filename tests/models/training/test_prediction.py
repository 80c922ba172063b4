"""Labels for a file of dialogues: nothing of it is lost, an interrupted run goes on, and nothing is overwritten."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from erc_live.models.card import Card, Confidence
from erc_live.models.corpora import neutral
from erc_live.models.corpora.dialogue import Dialogue, Split
from erc_live.models.errors import CorpusError
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig
from erc_live.models.training import prediction
from erc_live.models.training.dialogue_dataset import Example, examples, fitting, with_text
from erc_live.models.training.metrics import Answers
from erc_live.models.training.prediction import Labeller, estimates, predict, read_estimates

LABELS = ("calm", "glad, very", "не рад")
CONFIG = DialogueGraphConfig(len(LABELS), text_dim=4, audio_dim=15, visual_dim=0, width=8, heads=2, window=2)
CARD = Card("dialogue_graph", {}, LABELS, {}, {}, {}, abstain_below=0.4)


def labeller(key: str = "weights 1", seen: list[str] | None = None) -> Labeller:
    torch.manual_seed(0)
    model = DialogueGraph(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)

    def vectors(dialogues: Sequence[Dialogue]) -> list[Example]:
        if seen is not None:
            seen.extend(dialogue.name for dialogue in dialogues)
        data = examples(Split("file", "test", (), tuple(dialogues)), LABELS)
        texts = [text for example in data for text in example.texts]
        rows = torch.tensor([[float(len(text)), 1.0, -1.0, text.count("o")] for text in texts])
        return fitting(with_text(data, rows), model)

    return Labeller(model.eval(), CARD, vectors, key)


def write(path: Path, dialogues: int = 3) -> Path:
    lines = [
        {
            "dialogue": f"d{number}",
            "utterances": [
                {"speaker": "A", "text": "oh no" * (number % 5 + 1), "label": "a label of another set"},
                {"speaker": 7, "text": "", "start_s": 1.5, "end_s": 2, "audio": "clips/x.wav"},
            ],
        }
        for number in range(dialogues)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_utterance_gets_an_estimate_and_keeps_what_it_had(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl"), tmp_path / "deep" / "out.jsonl"
    told: list[tuple[int, int]] = []
    assert predict(source, target, labeller(), lambda *done: told.append(done)) == 0
    assert told == [(0, 3), (3, 3)]
    lines = read(target)
    assert [line["dialogue"] for line in lines] == ["d0", "d1", "d2"]
    for utterance in (utterance for line in lines for utterance in line["utterances"]):
        estimate = utterance["estimate"]
        assert tuple(estimate["probs"]) == LABELS
        assert sum(estimate["probs"].values()) == pytest.approx(1, abs=1e-5)
        assert estimate["label"] == max(estimate["probs"], key=estimate["probs"].get)
        assert estimate["certain"] == (max(estimate["probs"].values()) >= 0.4)
    first, second = lines[0]["utterances"]
    assert (first["speaker"], first["text"], first["label"]) == ("A", "oh no", "a label of another set")
    assert (second["start_s"], second["end_s"], second["label"]) == (1.5, 2, None)
    assert second["audio"] == "../clips/x.wav"  # relative to the new file
    assert len(neutral.read_file(target, None)) == 3  # what was written is a corpus again
    assert [path.name for path in target.parent.iterdir()] == ["out.jsonl"]


def test_what_is_there_is_not_overwritten_unless_asked(tmp_path: Path) -> None:
    source, target = write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl"
    target.write_text("mine")
    with pytest.raises(CorpusError, match=r"out.jsonl is there already: give another name, or --force"):
        predict(source, target, labeller())
    assert target.read_text() == "mine"
    predict(source, target, labeller(), force=True)
    assert len(read(target)) == 3


def interrupted_after(source: Path, target: Path, groups: int, key: str = "weights 1") -> None:
    """Ctrl-C while the next group is labelled."""

    def stop(done: int, _total: int) -> None:
        if done >= groups * prediction.TOGETHER:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(source, target, labeller(key), stop)


def test_an_interrupted_run_goes_on_where_it_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "TOGETHER", 2)
    source, target = write(tmp_path / "in.jsonl", 7), tmp_path / "out.jsonl"
    predict(source, tmp_path / "whole.jsonl", labeller())
    interrupted_after(source, target, groups=2)
    assert not target.exists()
    (part,) = tmp_path.glob(".out.jsonl.*.part")
    with part.open("a") as file:
        file.write('{"dialogue": "d4", "utter')  # cut off while it was written
    seen: list[str] = []
    assert predict(source, target, labeller(seen=seen)) == 4
    assert seen == ["d4", "d5", "d6"]
    assert target.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_other_weights_or_another_input_begin_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction, "TOGETHER", 2)
    source, target = write(tmp_path / "in.jsonl", 5), tmp_path / "out.jsonl"
    interrupted_after(source, target, groups=1)
    assert predict(source, target, labeller("weights 2")) == 0
    assert not list(tmp_path.glob(".*"))  # what nobody will go on with is gone
    target.unlink()
    interrupted_after(source, target, groups=1)
    write(source, 6)
    assert predict(source, target, labeller()) == 0
    assert len(read(target)) == 6


def test_all_that_is_wrong_with_a_file_is_said_before_the_work(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl")
    source.write_text(source.read_text() + "{}\n")
    with pytest.raises(CorpusError, match="line 4"):
        predict(source, tmp_path / "out.jsonl", labeller())
    with pytest.raises(CorpusError, match=r"nothing.jsonl cannot be read"):
        predict(tmp_path / "nothing.jsonl", tmp_path / "out.jsonl", labeller())
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_a_folder_that_cannot_be_written_to_is_one_line(tmp_path: Path) -> None:
    source = write(tmp_path / "in.jsonl")
    (tmp_path / "file").write_text("")
    with pytest.raises(CorpusError, match=r"cannot be written \(.*\): make room, or give another folder"):
        predict(source, tmp_path / "file" / "out.jsonl", labeller())


def test_certain_is_what_reaches_the_threshold_of_the_card() -> None:
    probs = torch.tensor([[0.4, 0.3, 0.3], [0.36, 0.32, 0.32], [0.1, 0.1, 0.8]], dtype=torch.float64)
    answers = Answers(probs.log(), torch.full((3,), -100), torch.zeros(3, dtype=torch.int64), (1, 2))
    words = torch.tensor([[True, False, False]] * 3)
    found = estimates(answers, CARD, words)
    assert [[one.label for one in dialogue] for dialogue in found] == [["calm"], ["calm", "не рад"]]
    assert found[1][0].certain is False
    assert found[1][1].certain is True
    voices = replace(CARD, by_modalities={"a": Confidence(temperature=2.0, abstain_below=0.55)})
    assert estimates(answers, voices, words) == found
    heard = estimates(answers, voices, words.roll(1, 1))
    root = probs[2].sqrt() / probs[2].sqrt().sum()  # what halving the logits does
    assert list(heard[1][1].probs.values()) == pytest.approx(root.tolist(), abs=1e-6)
    assert heard[1][1].certain is bool(root.max() >= 0.55)
    assert heard[0][0].certain is False


def test_estimates_are_read_as_they_were_written(tmp_path: Path) -> None:
    predict(write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", labeller())
    found = read_estimates(tmp_path / "out.jsonl", LABELS[::-1])
    written = [entry["utterances"] for entry in read(tmp_path / "out.jsonl")]
    assert [dialogue.name for dialogue, _ in found] == ["d0", "d1", "d2"]
    for (_, rows), said in zip(found, written, strict=True):
        assert rows == [[turn["estimate"]["probs"][label] for label in LABELS[::-1]] for turn in said]


@pytest.mark.parametrize("labels", [LABELS[:2], (*LABELS, "more")])
def test_estimates_of_other_labels_are_refused(labels: tuple[str, ...], tmp_path: Path) -> None:
    predict(write(tmp_path / "in.jsonl"), tmp_path / "out.jsonl", labeller())
    with pytest.raises(CorpusError, match=r"out\.jsonl, dialogue d0: there must be an estimate of calm"):
        read_estimates(tmp_path / "out.jsonl", labels)


def test_a_file_that_nobody_labelled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match="give a file that `erc-live predict` wrote"):
        read_estimates(write(tmp_path / "in.jsonl"), LABELS)
    with pytest.raises(CorpusError):
        read_estimates(tmp_path / "absent.jsonl", LABELS)

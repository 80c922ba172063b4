"""A small language with a known law, as dialogues: joy and anger are in the words; after the word "well" an utterance
expresses what the one before it did. The prosody is noise.
"""

import random
from dataclasses import replace
from pathlib import Path

from tiny_bert import make_tiny_bert

from erc_live.models.corpora.dialogue import Dialogue, Split, Utterance
from erc_live.models.training.augment import Disturbance
from erc_live.models.training.dialogue_dataset import DialogueDataset, examples
from erc_live.models.training.graph_config import TrainConfig
from erc_live.models.training.trainer import EpochDone

LABELS = ("joy", "anger")
CALM = Disturbance(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
CONFIG = TrainConfig(
    sizes={"width": 16, "layers": 1, "heads": 2, "window": 3, "dropout": 0.0, "smoothing": 0.0},
    epochs=5, batch_utterances=24, rate=1e-2, text_rate=3e-3, disturbance=CALM,
)  # fmt: skip
TUNED = replace(CONFIG, tune_text=True)


def split(name: str, size: int) -> Split:
    draw = random.Random(name)
    return Split("small", name, LABELS, tuple(dialogue(draw, str(number)) for number in range(size)))


def dialogue(draw: random.Random, name: str) -> Dialogue:
    utterances: list[Utterance] = []
    for _ in range(draw.randint(2, 6)):
        label = draw.choice(LABELS)
        text = f"{draw.choice('abc')} {'great' if label == 'joy' else 'awful'}"
        if utterances and draw.random() < 0.4:
            text, label = "well", utterances[-1].label
        prosody = tuple(draw.gauss(0, 1) for _ in range(8))
        utterances.append(Utterance(draw.choice("XY"), text, label, prosody=prosody))
    return Dialogue(name, tuple(utterances))


def dataset(train: int = 50, dev: int = 20) -> DialogueDataset:
    parts = {name: examples(split(name, size), LABELS) for name, size in (("train", train), ("dev", dev))}
    return DialogueDataset(("small",), LABELS, parts["train"], parts["dev"], {"audio": "prosody/1"})


def bert(folder: Path) -> Path:
    """A tiny BERT that does not drop anything, so that what depends on chance is under the control of a test."""
    return make_tiny_bert(folder)


class Interrupted(Exception):
    """As by Ctrl-C."""


class Epochs(list[EpochDone]):
    """Watches a run: the epochs that were reported; it ends the run after epoch `last` of seed `seed`."""

    def __init__(self, last: int | None = None, seed: int | None = None) -> None:
        super().__init__()
        self._last, self._seed = last, seed

    def __call__(self, report: object) -> None:
        if isinstance(report, EpochDone):
            self.append(report)
            if report.epoch == self._last and self._seed in (None, report.seed):
                raise Interrupted

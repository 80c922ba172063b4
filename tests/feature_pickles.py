"""Small pickles with the structure of those that four published systems read, for tests: nothing in them is anybody's.

Vectors are drawn around a place of their own for each label, so that something can be learnt from them.
"""

import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

IEMOCAP, MELD = 6, 7  # labels


class Talks:
    """Tables by dialogue: of the two letters of IEMOCAP, or of MELD's rows of nine. The last three dialogues are test."""

    def __init__(self, classes: int = IEMOCAP, dialogues: int = 16) -> None:
        self.classes, self._draw = classes, np.random.default_rng(classes)
        self.vids: list[Any] = (
            [f"Ses01F_{n:02}" for n in range(dialogues)] if classes == IEMOCAP else list(range(dialogues))
        )
        lengths = [3 + n % 4 for n in range(dialogues)]
        places = [range(length) for length in lengths]
        self.train, self.test = self.vids[:-3], self.vids[-3:]
        self.ids = self._table(
            [[f"{vid}_{place}" for place in row] for vid, row in zip(self.vids, places, strict=True)]
        )
        self.labels = self._table(
            [[int(label) for label in self._draw.integers(0, classes, length)] for length in lengths]
        )
        self.sentences = self._table([[f"words  {place}" for place in row] for row in places])
        one_hot = np.eye(9, dtype=int).tolist()
        self.speakers = self._table(
            [["MF"[p % 2] if classes == IEMOCAP else one_hot[p % 2] for p in row] for row in places]
        )

    def _table(self, rows: list[Any]) -> dict[Any, Any]:
        return dict(zip(self.vids, rows, strict=True))

    def vectors(self, width: int, whole: bool = False) -> dict[Any, Any]:
        """A list of arrays for each dialogue, or one array with a row for each utterance."""
        centres = self._draw.normal(0, 2, (self.classes, width))
        found = {}
        for vid, labels in self.labels.items():
            rows = [(centres[label] + self._draw.normal(0, 0.5, width)).astype(np.float32) for label in labels]
            found[vid] = np.stack(rows) if whole else rows
        return found


def write(path: Path, value: Any, protocol: int = 2) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value, protocol))
    return path


def multiemo(folder: Path, classes: int = IEMOCAP, widths: tuple[int, int, int] = (12, 8, 10)) -> Path:
    talks = Talks(classes)
    more = ({},) if classes == MELD else ()
    tables = (talks.ids, talks.speakers, talks.labels, {}, {}, {}, talks.sentences, talks.train, talks.test, *more)
    write(folder / "Speakers.pkl", tables)
    for name, width in zip(("Text", "Audio", "Visual"), widths, strict=True):
        write(folder / f"{name}Features.pkl", talks.vectors(width, whole=name == "Text"), 4)
    return folder


def vuemo(folder: Path, classes: int = IEMOCAP) -> Path:
    talks = Talks(classes)
    raw = (
        talks.ids,
        talks.speakers,
        talks.labels,
        talks.vectors(5),
        talks.vectors(8),
        talks.vectors(6),
        talks.sentences,
    )
    layers = [talks.vectors(4) for _ in range(4)]
    splits = (talks.train[2:], talks.test, talks.train[:2])
    if classes == MELD:
        write(folder / "MELD_features_raw1.pkl", (*raw, talks.train, talks.test, {}))
        names = (talks.speakers, talks.labels, talks.labels)
        write(folder / "meld_features_roberta.pkl", (*names, *layers, talks.sentences, *splits))
    else:
        write(folder / "IEMOCAP_features.pkl", (*raw, set(talks.train), set(talks.test)), 1)
        names = (talks.speakers, talks.labels)
        write(folder / "iemocap_features_roberta.pkl", [*names, *layers, talks.sentences, *splits])
    return folder


def hgf_milag(folder: Path, protocol: int = 3) -> Path:
    talks = Talks()
    text, audio, visual = talks.vectors(12), talks.vectors(8), talks.vectors(6)
    module = ModuleType("himallgg.Sample")  # only while it is written, as it is where the release writes it
    module.Sample = type("Sample", (), {"__module__": module.__name__})  # type: ignore[attr-defined]

    def sample(vid: Any) -> Any:
        one = module.Sample()
        one.vid, one.speaker, one.label = vid, talks.speakers[vid], talks.labels[vid]
        one.text, one.audio, one.visual = text[vid], audio[vid], visual[vid]
        one.sentence, one.gender = talks.sentences[vid], talks.speakers[vid]
        return one

    parts = {"train": talks.train[1:], "dev": talks.train[:1], "test": talks.test}
    sys.modules |= {"himallgg": ModuleType("himallgg"), module.__name__: module}
    try:
        write(folder / "newdata.pkl", {name: [sample(vid) for vid in vids] for name, vids in parts.items()}, protocol)
    finally:
        del sys.modules["himallgg"], sys.modules[module.__name__]
    return folder


def safsd_glnet(folder: Path, classes: int = IEMOCAP) -> Path:
    talks = Talks(classes)
    layers = [talks.vectors(12) for _ in range(4)]
    more = ({},) if classes == MELD else ()
    name = "meld" if classes == MELD else "iemocap"
    tables = (talks.ids, talks.speakers, talks.labels, *layers, talks.vectors(8), talks.vectors(6), talks.sentences)
    write(folder / f"{name}_multimodal_features.pkl", (*tables, talks.train, talks.test, *more))
    return folder

"""Small pickles with the structure of those that four published systems read, for tests: nothing in them is anybody's.

Vectors are drawn around a place of their own for each label, so that something can be learnt from them.
"""

import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

IEMOCAP, MELD = 6, 7  # labels


class Talks:
    """Tables by dialogue, with the letters of IEMOCAP, or MELD's rows of nine; the last three dialogues are test."""

    def __init__(self, classes: int = IEMOCAP, dialogues: int = 16) -> None:
        self.classes, self._draw = classes, np.random.default_rng(classes)
        numbers = range(dialogues)
        self.vids: list[Any] = [f"Ses01F_{n:02}" for n in numbers] if classes == IEMOCAP else list(numbers)
        lengths = [3 + n % 4 for n in numbers]
        places = [range(length) for length in lengths]
        self.train, self.test = self.vids[:-3], self.vids[-3:]
        self.ids = self._table([[f"{n}_{place}" for place in row] for n, row in zip(numbers, places, strict=True)])
        self.labels = self._table([self._draw.integers(0, classes, length).tolist() for length in lengths])
        self.sentences = self._table([[f"words  {place}" for place in row] for row in places])
        names = "MF" if classes == IEMOCAP else np.eye(9, dtype=int).tolist()
        self.speakers = self._table([[names[place % 2] for place in row] for row in places])

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


@contextmanager
def record_class() -> Iterator[Any]:
    """The class of HGF-MiLaG's dialogues, which is there only while a pickle is written."""
    module = ModuleType("himallgg.Sample")
    module.Sample = type("Sample", (), {"__module__": module.__name__})  # type: ignore[attr-defined]
    sys.modules |= {"himallgg": ModuleType("himallgg"), module.__name__: module}
    try:
        yield module.Sample
    finally:
        del sys.modules["himallgg"], sys.modules[module.__name__]


def hgf_milag(folder: Path, protocol: int = 3) -> Path:
    talks = Talks()
    text, audio, visual = talks.vectors(12), talks.vectors(8), talks.vectors(6)

    def sample(vid: Any) -> Any:
        one = kind()
        one.vid, one.speaker, one.label = vid, talks.speakers[vid], talks.labels[vid]
        one.text, one.audio, one.visual = text[vid], audio[vid], visual[vid]
        one.sentence, one.gender = talks.sentences[vid], talks.speakers[vid]
        return one

    parts = {"train": talks.train[1:], "dev": talks.train[:1], "test": talks.test}
    with record_class() as kind:
        write(folder / "newdata.pkl", {name: [sample(vid) for vid in vids] for name, vids in parts.items()}, protocol)
    return folder


def safsd_glnet(folder: Path, classes: int = IEMOCAP) -> Path:
    talks = Talks(classes)
    layers = [talks.vectors(12) for _ in range(4)]
    more = ({},) if classes == MELD else ()
    name = "meld" if classes == MELD else "iemocap"
    tables = (talks.ids, talks.speakers, talks.labels, *layers, talks.vectors(8), talks.vectors(6), talks.sentences)
    write(folder / f"{name}_multimodal_features.pkl", (*tables, talks.train, talks.test, *more))
    return folder

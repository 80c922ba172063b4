"""The features of HGF-MiLaG (Sensors 2025), as its preprocessing writes them: `newdata.pkl`.

    {"train": [Sample, ...], "dev": [...], "test": [...]}

A sample is a dialogue: `vid`, and for each utterance `speaker`, `label`, `text` (RoBERTa-large, 1024 numbers), `audio`
(openSMILE, 1582), `visual` (DenseNet, 342) and `sentence`. Its class is not imported: only its attributes are read, and
the gender that some have beside them is not: the letters of the speakers (M, F) say it. Dev is the one that is there:
the first tenth of train.

The folder is the one with the file, or one above it (`data/iemocap`).
"""

from pathlib import Path
from typing import Any

from erc_live.models.corpora.dialogue import SPLITS, Split
from erc_live.models.corpora.feature_tables import FeatureTables, VectorTable, is_name, one_of
from erc_live.models.corpora.pickled_values import PickledObject
from erc_live.models.corpora.restricted_pickle import load
from erc_live.models.errors import CorpusError

KIND = "hgf-milag-pickles"
FILE = "newdata.pkl"
LAYOUT = FILE
PLACES = (FILE, f"iemocap/{FILE}", f"meld/{FILE}", f"data/iemocap/{FILE}", f"data/meld/{FILE}")
SAMPLE = "himallgg.Sample.Sample"
ATTRIBUTES = ("speaker", "label", "sentence", "text", "audio", "visual")
NAMES = {"text": "HGF-MiLaG RoBERTa-large", "audio": "HGF-MiLaG openSMILE", "visual": "HGF-MiLaG DenseNet"}


def splits(place: Path) -> tuple[str, ...]:
    """Which splits lie in the folder or file; none when it is not of this kind."""
    there = place.name == FILE if place.is_file() else one_of(place, PLACES) is not None
    return SPLITS if there else ()


def read(place: Path, split: str) -> Split:
    """Read one split. Raises CorpusError when a sample is not what it should be."""
    file = place if place.is_file() else one_of(place, PLACES)
    assert file is not None
    samples = _samples(file, load(file, (SAMPLE,)))
    tables: dict[str, dict[Any, Any]] = {name: {} for name in ATTRIBUTES}
    for fields in (fields for part in samples.values() for fields in part):
        for name in ATTRIBUTES:
            tables[name][fields["vid"]] = fields[name]
    return FeatureTables(
        system="HGF-MiLaG",
        file=file,
        speakers=tables["speaker"],
        labels=tables["label"],
        sentences=tables["sentence"],
        vectors={modality: VectorTable(called, file, (tables[modality],)) for modality, called in NAMES.items()},
        **{name: [fields["vid"] for fields in part] for name, part in samples.items()},
    ).split(split)


def _samples(file: Path, value: Any) -> dict[str, list[dict[str, Any]]]:
    """The attributes of the samples of each split."""
    if not isinstance(value, dict) or not all(isinstance(value.get(split), list | tuple) for split in SPLITS):
        raise CorpusError(f"{file}: it must hold a dict of the lists train, dev and test")
    samples = {split: [_attributes(file, split, one) for one in value[split]] for split in SPLITS}
    names = [fields["vid"] for part in samples.values() for fields in part]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise CorpusError(f"{file}: dialogue {str(twice)!r} is in it twice")
    return samples


def _attributes(file: Path, split: str, sample: Any) -> dict[str, Any]:
    fields = sample.fields if isinstance(sample, PickledObject) else {}
    if missing := [name for name in ("vid", *ATTRIBUTES) if name not in fields]:
        raise CorpusError(f"{file}: a sample of {split} lacks {', '.join(missing)}")
    if not is_name(fields["vid"]):
        raise CorpusError(f"{file}: a sample of {split} has a vid that is no name")
    return fields

"""The features of MultiEMO (Shi and Huang, ACL 2023), as its release reads them from `Data/IEMOCAP` or `Data/MELD`.

    Speakers.pkl          ids, speakers, labels, text, audio, visual, sentences, train, test (of MELD one table more)
    TextFeatures.pkl      by dialogue, a row for each utterance: EmoBERTa, 768 numbers
    AudioFeatures.pkl     openSMILE, reduced to 512
    VisualFeatures.pkl    VisExtNet, 1000; zeros where there was no face, as published

The folder is the one with these files, or one above it that has only one of the two corpora. Other widths are read.
The release takes a twentieth of train at random for its scheduler, and chooses the epoch on test; here dev is a tenth.
"""

from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Split
from erc_live.models.corpora.feature_tables import FeatureTables, VectorTable, one_of, require, tables_of
from erc_live.models.corpora.restricted_pickle import load

KIND = "multiemo-pickles"
LAYOUT = "Speakers.pkl, TextFeatures.pkl, AudioFeatures.pkl and VisualFeatures.pkl"
SPEAKERS = "Speakers.pkl"
PLACES = tuple(f"{room}{SPEAKERS}" for room in ("", "IEMOCAP/", "MELD/", "Data/IEMOCAP/", "Data/MELD/"))
TABLES = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train", "test")
FEATURES = {
    "text": ("TextFeatures.pkl", "MultiEMO EmoBERTa"),
    "audio": ("AudioFeatures.pkl", "MultiEMO openSMILE"),
    "visual": ("VisualFeatures.pkl", "MultiEMO VisExtNet"),
}


def splits(place: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not of this kind.

    Raises:
        CorpusError: a file is missing, or both corpora are there.
    """
    speakers = one_of(place, PLACES)
    if speakers is None:
        return ()
    require(speakers, *(speakers.with_name(name) for name, _ in FEATURES.values()))
    return SPLITS


def read(place: Path, split: str) -> Split:
    """Read one split. Raises CorpusError when a table is not what it should be."""
    file = one_of(place, PLACES)
    assert file is not None
    tables = tables_of(file, {9: TABLES, 10: (*TABLES, "more")})
    vectors = {
        modality: VectorTable(called, path, (load(path),))
        for modality, (name, called) in FEATURES.items()
        for path in (file.with_name(name),)
    }
    return FeatureTables(
        system="MultiEMO",
        file=file,
        speakers=tables["speakers"],
        labels=tables["labels"],
        sentences=tables["sentences"],
        vectors=vectors,
        train=tables["train"],
        dev=(),
        test=tables["test"],
    ).split(split)

"""The features of SAFSD-GLNet, and of SDT, from which it comes: one file for each corpus, in `data/`.

    iemocap_multimodal_features.pkl    ids, speakers, labels, four layers of RoBERTa-large, audio, visual, sentences,
    meld_multimodal_features.pkl       train, test (of MELD one table more)

The release reads all four layers and uses the first (1024 numbers), audio (1582, of MELD 300) and visual (342); so does
this reader. The folder is the one with the file of one corpus, or the one above `data`; where both are there, the file
is named: `safsd-glnet-pickles:data/meld_multimodal_features.pkl`.
"""

from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Split
from erc_live.models.corpora.feature_tables import FeatureTables, VectorTable, one_of, tables_of

KIND = "safsd-glnet-pickles"
FILES = ("iemocap_multimodal_features.pkl", "meld_multimodal_features.pkl")
LAYOUT = " or ".join(FILES)
PLACES = (*FILES, *(f"data/{name}" for name in FILES))
LAYERS = ("text", "roberta2", "roberta3", "roberta4")
TABLES = ("ids", "speakers", "labels", *LAYERS, "audio", "visual", "sentences", "train", "test")
NAMES = {"text": "SAFSD-GLNet RoBERTa-large", "audio": "SAFSD-GLNet openSMILE", "visual": "SAFSD-GLNet DenseNet"}


def splits(place: Path) -> tuple[str, ...]:
    """Which splits lie in the folder or file; none when it is not of this kind."""
    there = place.name in FILES if place.is_file() else one_of(place, PLACES) is not None
    return SPLITS if there else ()


def read(place: Path, split: str) -> Split:
    """Read one split. Raises CorpusError when a table is not what it should be."""
    file = place if place.is_file() else one_of(place, PLACES)
    assert file is not None
    tables = tables_of(file, {12: TABLES, 13: (*TABLES, "more")})
    return FeatureTables(
        system="SAFSD-GLNet",
        file=file,
        speakers=tables["speakers"],
        labels=tables["labels"],
        sentences=tables["sentences"],
        vectors={modality: VectorTable(called, file, (tables[modality],)) for modality, called in NAMES.items()},
        train=tables["train"],
        dev=(),
        test=tables["test"],
    ).split(split)

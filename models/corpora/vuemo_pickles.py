"""The features of VUEMO, of M3NET before it, and of whoever reads the same files: raw features with those of RoBERTa.

    IEMOCAP_features.pkl             ids, speakers, labels, text, audio, visual, sentences, train, test
    iemocap_features_roberta.pkl     speakers, labels, four layers of RoBERTa-large, sentences, train, test, valid
    MELD_features/
      MELD_features_raw1.pkl         as IEMOCAP's, and one table more
      meld_features_roberta.pkl      speakers, labels, sentiments, four layers, sentences, train, test, valid

The folder is the one with the two files of a corpus; one that has both, as the release wants it, is IEMOCAP, and
`MELD_features` in it is MELD. The text vector of an utterance is its four layers end to end (4 x 1024): a linear layer
over them can weigh and add them, as the release does. `text` of the first file (GloVe) is not used. The dialogues that
the file of RoBERTa calls valid are dev.
"""

from pathlib import Path

from erc_live.models.corpora.dialogue import SPLITS, Split
from erc_live.models.corpora.feature_tables import FeatureTables, VectorTable, is_name, require, tables_of

KIND = "vuemo-pickles"
LAYOUT = (
    "IEMOCAP_features.pkl with iemocap_features_roberta.pkl, or MELD_features_raw1.pkl with meld_features_roberta.pkl"
)
PAIRS = (
    ("IEMOCAP_features.pkl", "iemocap_features_roberta.pkl"),
    ("MELD_features_raw1.pkl", "meld_features_roberta.pkl"),
    ("MELD_features/MELD_features_raw1.pkl", "MELD_features/meld_features_roberta.pkl"),
)
RAW = ("ids", "speakers", "labels", "text", "audio", "visual", "sentences", "train", "test")
LAYERS = ("roberta1", "roberta2", "roberta3", "roberta4")
ROBERTA = (*LAYERS, "sentences", "train", "test", "valid")


def splits(place: Path) -> tuple[str, ...]:
    """Which splits lie in the folder; none when it is not of this kind. Raises CorpusError when a file is missing."""
    pair = _pair(place)
    if pair is None:
        return ()
    require(*pair)
    return SPLITS


def read(place: Path, split: str) -> Split:
    """Read one split. Raises CorpusError when a table is not what it should be."""
    pair = _pair(place)
    assert pair is not None
    file, beside = pair
    raw = tables_of(file, {9: RAW, 10: (*RAW, "more")})
    roberta = tables_of(beside, {10: ("speakers", "labels", *ROBERTA), 11: ("speakers", "labels", "moods", *ROBERTA)})
    vectors = {
        "text": VectorTable("RoBERTa-large, 4 layers", beside, tuple(roberta[layer] for layer in LAYERS)),
        "audio": VectorTable("VUEMO openSMILE", file, (raw["audio"],)),
        "visual": VectorTable("VUEMO DenseNet", file, (raw["visual"],)),
    }
    return FeatureTables(
        system="VUEMO",
        file=file,
        speakers=raw["speakers"],
        labels=raw["labels"],
        sentences=raw["sentences"],
        vectors=vectors,
        train=raw["train"],
        dev=_known(roberta["valid"], raw["labels"]),
        test=raw["test"],
    ).split(split)


def _known(names: object, table: object) -> tuple[object, ...]:
    """The dialogues of both files: only they can be dev."""
    if not isinstance(names, list | tuple | set | frozenset) or not isinstance(table, dict):
        return ()
    return tuple(name for name in names if is_name(name) and name in table)


def _pair(place: Path) -> tuple[Path, Path] | None:
    """The two files of a corpus, of which at least one is there."""
    pairs = ((place / raw, place / roberta) for raw, roberta in PAIRS)
    return next((pair for pair in pairs if any(path.is_file() for path in pair)), None)

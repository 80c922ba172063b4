"""Dialogues such as any reader may give, for tests of what is written and read."""

import math
from array import array
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from erc_live.models.corpora.dialogue import Dialogue, FeatureKind, Utterance
from erc_live.models.corpora.neutral_line import LIMIT

HERE = Path("corpus")  # the folder that media are relative to; nothing is there

# On a busy machine, how long an example takes says nothing.
patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=5).map(str.strip)
WORDS = st.sampled_from(["A", "very glad", "\u00e9\u2028\u4e16", "0"]) | st.text(
    st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=4
).map(str.strip).filter(bool)
TIMES = st.tuples(st.floats(0, LIMIT), st.floats(0, LIMIT)).map(sorted)
FILES = st.none() | st.sampled_from(["a.wav", "b/c.mp4", "../d.opus"]).map(lambda name: HERE / name)
PROSODIES = st.none() | st.floats(-LIMIT, LIMIT).map(
    lambda value: (value, math.nan, -LIMIT, 0.1, math.nan, 0.0, 1.0, value)
)
WIDTHS = {"text": 2, "visual": 1}
FEATURES = {modality: FeatureKind(f"{modality} of nobody", width) for modality, width in WIDTHS.items()}
SINGLE = st.floats(width=32, allow_nan=False, allow_infinity=False)
VECTORS = st.builds(
    lambda text, visual: {"text": array("f", text), **({} if visual is None else {"visual": array("f", [visual])})},
    st.tuples(SINGLE, SINGLE),
    st.none() | SINGLE,
)
RATINGS = st.none() | st.floats(-1, 1)
UTTERANCES = st.builds(
    lambda times, *rest: Utterance(*rest[:3], *times, *rest[3:]),
    TIMES,
    WORDS,
    TEXTS,
    st.none() | WORDS,
    FILES,
    FILES,
    PROSODIES,
    RATINGS,
    RATINGS,
    VECTORS,
)


def dialogues() -> st.SearchStrategy[Dialogue]:
    """What a reader may give; all utterances have their times, for they may share a file."""
    said = st.lists(UTTERANCES, min_size=1, max_size=3).map(tuple)
    return st.builds(Dialogue, WORDS, said, st.just(FEATURES), st.none() | WORDS)

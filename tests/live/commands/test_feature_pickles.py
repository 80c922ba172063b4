"""Published systems on the features they were published with: from their pickles to weights and scores, by commands."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commands import corpus, run
from feature_pickles import IEMOCAP, MELD, hgf_milag, multiemo, safsd_glnet, vuemo

from erc_live.live.commands.corpus import corpus_app, corpus_check, corpus_convert, corpus_stats
from erc_live.live.commands.evaluate import evaluate
from erc_live.live.commands.train import train
from erc_live.models import checkpoint

SMALL = ("--epochs", 2, "--batch", 16)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("causal", ["true", "false"])
@pytest.mark.parametrize(
    ("network", "kind", "write", "sizes"),
    [
        ("multiemo", "multiemo-pickles", multiemo, ("width=8", "heads=2")),
        ("vuemo", "vuemo-pickles", vuemo, ("width=8", "num_L=2")),
        ("hgf_milag", "hgf-milag-pickles", hgf_milag, ("context_width=8", "heads=2")),
        ("safsd_glnet", "safsd-glnet-pickles", safsd_glnet, ("width=8", "heads=2")),
    ],
)
def test_every_system_on_its_own_features(
    network: str, kind: str, write: Callable[[Path], Path], sizes: tuple[str, ...], causal: str, tmp_path: Path
) -> None:
    named = f"{kind}:{write(tmp_path / 'features')}"
    options = [part for size in (*sizes, f"causal={causal}") for part in ("--size", size)]
    code, said = run(train, "--network", network, "--corpus", named, "--out", tmp_path / "run", *SMALL, *options)
    assert code == 0, said
    print(said)
    card = checkpoint.load(str(tmp_path / "run")).card
    print(card.encoders, card.config)
    code, said = run(evaluate, "--corpus", named, "--split", "test", "--weights", tmp_path / "run")
    assert code == 0, said
    print(said)

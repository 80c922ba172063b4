"""How the releases of the published systems train: `erc-live train --recipe published`. Ours is the default.

Values are those of the releases' training scripts, of IEMOCAP for its six labels and of MELD for all others; the files
of the networks say what of the networks themselves differs. Where a release says nothing, this does:
- VUEMO: its script's default is 150 epochs, its description says 100, which is taken. It does not shuffle IEMOCAP.
- HGF-MiLaG: there is no script for MELD. That for IEMOCAP is taken; it does not shuffle.
- SAFSD-GLNet: one script for both; its class weights are 1 / frequency of the corpus that is learnt.
- MultiEMO: whether it shuffles was not seen; it is assumed.
- Gradients are not clipped, weights are not averaged, rare labels are favoured by the losses alone, examples are not
  disturbed.
The rule of this file: nothing that the releases do on the test split. They choose the epoch on it; here it is dev.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from erc_live.models.corpora.iemocap import SIX
from erc_live.models.errors import WeightsError
from erc_live.models.training.augment import UNDISTURBED
from erc_live.models.training.dialogue_dataset import DialogueDataset
from erc_live.models.training.graph_config import Published, TrainConfig
from erc_live.models.training.trainer import Plateau

IEMOCAP, MELD = "IEMOCAP", "MELD"


@dataclass(frozen=True)
class Script:
    """A release's script for a corpus: what it sets of the run and of the sizes of the network."""

    how: Published
    rate: float
    weight_decay: float
    epochs: int
    sizes: Mapping[str, Any] = field(default_factory=dict)


STALLED = Plateau(factor=0.95, patience=10, threshold=1e-6)
SAFSD_GLNET = Script(Published(16), 1e-4, 1e-5, 80)
HGF_MILAG = Script(Published(32, shuffled=False, weigh=False), 3e-4, 1e-8, 80)
SCRIPTS: Mapping[str, Mapping[str, Script]] = {
    "multiemo": {
        IEMOCAP: Script(
            Published(64, plateau=STALLED), 1e-4, 1e-5, 100,
            {
                "layers": 6, "hidden": 256, "speakers": 2, "text_context": True, "two_sided_context": True,
                "swfc_share": 0.4, "hgr_share": 0.4, "alpha": 1.1, "gamma": 2.4, "temperature": 0.8,
            },
        ),
        MELD: Script(Published(100, plateau=STALLED), 1e-4, 1e-5, 15),
    },
    "vuemo": {
        IEMOCAP: Script(
            Published(16, decoupled=True, shuffled=False), 1e-4, 3e-5, 100, {"focal": 0.0, "speakers": 2}
        ),
        MELD: Script(Published(16, decoupled=True, weigh=False), 2e-5, 3e-5, 100),
    },
    "hgf_milag": {IEMOCAP: HGF_MILAG, MELD: HGF_MILAG},
    "safsd_glnet": {
        IEMOCAP: replace(SAFSD_GLNET, sizes={"speakers": 2}),
        MELD: SAFSD_GLNET,
    },
}  # fmt: skip


def as_published(config: TrainConfig, data: DialogueDataset, given: Sequence[str] = ()) -> TrainConfig:
    """The same run as the release of its network does it on such a corpus.

    Args:
        config: of the run; its sizes, and what is `given`, go before those of the release.
        data: says which labels there are, and whether the genders of the speakers are known: then HGF-MiLaG learns
            them, too.
        given: `epochs` or `rate`, where a person named them.

    Raises:
        WeightsError: the network was not published, or a text encoder is to be trained with it.
    """
    if config.network not in SCRIPTS:
        raise WeightsError(f"--recipe published: {config.network} is none of {', '.join(SCRIPTS)}: leave it out")
    if config.tune_text or config.folds:
        raise WeightsError("--recipe published: the releases train no text encoder: leave out --tune-text and --folds")
    script = SCRIPTS[config.network][IEMOCAP if set(data.labels) == set(SIX.values()) else MELD]
    sizes = dict(script.sizes)
    if config.network == "hgf_milag" and any(example.genders is not None for example in data.train):
        sizes["genders"] = 2
    values = {"epochs": script.epochs, "rate": script.rate} | {name: getattr(config, name) for name in given}
    return replace(
        config,
        sizes={**sizes, **config.sizes},
        patience=values["epochs"],
        weight_decay=script.weight_decay,
        clip=0.0,
        ema=0.0,
        balance=0.0,
        disturbance=UNDISTURBED,
        published=script.how,
        **values,
    )

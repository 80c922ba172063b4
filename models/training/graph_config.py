"""How to train a dialogue network, and where a run goes."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from erc_live.models.modalities import MODALITIES
from erc_live.models.training.augment import Disturbance
from erc_live.models.training.text_vectors import TextsEncoded
from erc_live.models.training.trainer import EpochDone, Plateau, StepDone


@dataclass(frozen=True)
class Published:
    """How a release trains, beside what `TrainConfig` can say.

    `dialogues` are those of a step; `decoupled`: AdamW, else Adam; `shuffled`: each epoch in another order; `weigh`:
    the loss weighs classes by 1 / frequency.
    """

    dialogues: int
    decoupled: bool = False
    shuffled: bool = True
    weigh: bool = True
    plateau: Plateau | None = None


@dataclass(frozen=True)
class TrainConfig:
    """How to train. Rates are the highest of the schedule."""

    network: str = "dialogue_graph"
    sizes: dict[str, Any] = field(default_factory=dict)  # of the network, where they differ from its defaults
    seeds: tuple[int, ...] = (0,)
    modalities: tuple[str, ...] = MODALITIES
    start: str | None = None  # the weights to go on from
    epochs: int = 100
    patience: int | None = 12  # epochs without a better score on dev; None: the last of all is kept
    stop: int | None = (
        None  # the epoch that is the last, of a schedule of `epochs`; None: the schedule is run to its end
    )
    batch_utterances: int = 64
    rate: float = 1e-3
    tune_text: bool = False  # train the text encoder, too
    text_rate: float = 5e-5
    folds: int = 0  # of train and dev together, in which the recipe is scored; 0: dev chooses and scores
    weight_decay: float = 0.01
    clip: float = 1.0  # of the norm of the gradient; 0: not clipped
    ema: float = 0.99  # decay of the average of the weights, which is what is kept; 0: no average
    balance: float = 0.5  # how much rarer labels are favoured (tau); on MELD 0.3 did as well within the seeds
    disturbance: Disturbance = field(default_factory=Disturbance)
    published: Published | None = None  # as the release of the network trains; then a step is of so many dialogues

    def for_card(self) -> dict[str, Any]:
        """What belongs on the card beside the seeds and the network."""
        return {name: value for name, value in asdict(self).items() if name not in ("network", "sizes", "seeds")}


Report = TextsEncoded | StepDone | EpochDone


@dataclass(frozen=True)
class Run:
    """Where a run goes and who watches it: `out` gets the weights and a folder for each seed, `cache` text vectors.

    With `resume`, what `out` holds of the same run is gone on with; else the run begins anew. For the card: `command`
    is what the user typed, `search` how the options were chosen, and among how many, if a search chose them.
    """

    out: Path
    cache: Path
    command: str = ""
    resume: bool = False
    watch: Callable[[Report], object] = lambda _: None
    search: Mapping[str, Any] | None = None

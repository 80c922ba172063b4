"""`erc-live experiment attention`: whom the utterances of a dialogue attend to in a MultiEMO, as figure 6 of its paper.

Six heat maps: each modality asks the two others. A row is the utterance that asks; the darker a cell, the more it takes
of the utterance of the column. What the paper drew beyond that is not known: its figure is at hand by its caption only.
The rule of this file: it shows weights of attention. What moves an estimate, `erc-live explain` says.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from erc_live.live.commands.options import Corpus
from erc_live.live.errors import ConfigError
from erc_live.live.screen.console import out, print_line

if TYPE_CHECKING:
    from torch import Tensor

    from erc_live.live.commands.plots import Panel
    from erc_live.models.training.dialogue_dataset import Example


def experiment_attention(
    corpus: Corpus,
    weights: Annotated[str, typer.Option(help="Folder of a multiemo that `erc-live train` wrote.")],
    into: Annotated[Path, typer.Option("--out", "-o", help="File to draw: .svg, .png or .pdf.", metavar="FILE")],
    split: Annotated[str, typer.Option(help="train, dev or test.")] = "dev",
    dialogue: Annotated[str | None, typer.Option(help="Its name. Default: the first of the split.")] = None,
) -> None:
    """Draw whom the utterances of a dialogue attend to, from each modality to the two others."""
    import torch

    from erc_live.live.commands import plots
    from erc_live.live.commands.network_inputs import NetworkInputs
    from erc_live.models import checkpoint
    from erc_live.models.batch import DialogueBatch
    from erc_live.models.corpora import read
    from erc_live.models.ensemble import members_of
    from erc_live.models.modalities import MODALITIES
    from erc_live.models.networks.multiemo import OTHERS

    if not into.suffix:
        raise ConfigError(f"--out {into}: give a name that ends in .{', .'.join(plots.FORMATS)}")
    plots.check_target(into)
    loaded = checkpoint.load(weights)
    if loaded.card.network != "multiemo":
        raise ConfigError(f"--weights {weights}: it is a {loaded.card.network}, and this draws a multiemo")
    chosen = _named(dialogue, NetworkInputs(weights, loaded).of(read(corpus, split)), split)
    with torch.inference_mode():
        batch = DialogueBatch.pad([chosen.utterances])
        maps = torch.stack([one.cross_attention(batch)[0] for one in members_of(loaded.model)]).mean(0)
    panels = [
        _panel(maps[m, place], f"{MODALITIES[m]} asks {MODALITIES[other]}")
        for m, others in enumerate(OTHERS)
        for place, other in enumerate(others)
    ]
    print_line(f"drawn: {plots.draw(into, panels)}, dialogue {chosen.name}", out)


def _named(name: str | None, dialogues: "list[Example]", split: str) -> "Example":
    """The dialogue that was asked for. Raises ConfigError when there is none."""
    found = next((one for one in dialogues if name in (None, one.name)), None)
    if found is None:
        raise ConfigError(f"--dialogue {name}: {split} has none of this name; its first is {dialogues[0].name}")
    return found


def _panel(shares: "Tensor", title: str) -> "Panel":
    def draw(ax: Any) -> None:
        shown = ax.imshow(shares.numpy(), cmap="cividis_r", vmin=0)
        ax.figure.colorbar(shown, ax=ax, shrink=0.8)
        ax.set(xlabel="utterance that is heard", ylabel="utterance that asks", title=title)

    return draw

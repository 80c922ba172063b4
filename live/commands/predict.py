"""`erc-live predict`: labels for a file of conversations, with a bar, and how much of it was certain."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live.commands.options import Processes
from erc_live.live.screen.console import err
from erc_live.live.screen.progress import counting


def predict(
    source: Annotated[
        Path, typer.Argument(help="A file in the neutral format (erc-live corpus schema).", metavar="IN")
    ],
    target: Annotated[Path, typer.Option("--out", "-o", help="A new file: the same with estimates.", metavar="OUT")],
    weights: Annotated[str, typer.Option(help="default, or a folder that `erc-live train` wrote.")] = "default",
    processes: Processes = 1,
    force: Annotated[bool, typer.Option("--force", help="Replace OUT if it is there.")] = False,
) -> None:
    """Label conversations: OUT is IN with an `estimate` (label, probs, certain) for each utterance; its labels stay."""
    from erc_live.live.commands.network_inputs import NetworkInputs
    from erc_live.models import checkpoint
    from erc_live.models.corpora.dialogue import Split
    from erc_live.models.dimensions import learnt_dimensions
    from erc_live.models.training.prediction import Labeller
    from erc_live.models.training.prediction import predict as run

    loaded = checkpoint.load(weights)
    inputs = NetworkInputs(weights, loaded, processes)
    labeller = Labeller(
        loaded.model,
        loaded.card,
        lambda dialogues: inputs.of(Split(source.stem, "test", (), tuple(dialogues))),
        f"{loaded.fingerprint} {sorted(loaded.card.encoders.items())}",
    )
    with counting() as shown:
        task = shown.add_task("dialogues")
        before = run(
            source,
            target,
            labeller,
            lambda done, total: shown.update(task, completed=done, total=total),
            force,
        )
    went_on = f", {before} of them in an earlier run" if before else ""
    learnt = "".join(f"; {name} as learnt from ratings" for name in learnt_dimensions(loaded.model.config))
    err.print(
        f"{target}: labelled with {weights} ({', '.join(loaded.card.labels)}){went_on}{learnt}",
        markup=False,
        soft_wrap=True,
    )

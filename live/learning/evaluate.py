"""`erc-live evaluate`: the options, a bar, and the scores as a table."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from erc_live.live.learning.options import Corpus, Encoder, bar, encoder_folder, out


def evaluate(
    corpus: Corpus,
    split: Annotated[str, typer.Option(help="Split of the corpus.")] = "dev",
    weights: Annotated[str, typer.Option(help="default, or a folder that `erc-live train` wrote.")] = "default",
    hide: Annotated[list[str] | None, typer.Option(help="Leave out a modality: text, audio or visual.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    encoder: Encoder = None,
) -> None:
    """Score weights as they are used live: one utterance at a time, from the past alone."""
    from erc_live.models.training.evaluate import evaluate as run

    with bar() as shown:
        task = shown.add_task("dialogues")
        scores = run(
            corpus,
            split,
            encoder or encoder_folder(),
            weights,
            hide or [],
            lambda done, total: shown.update(task, completed=done, total=total),
        )
    if as_json:
        out.print_json(data=asdict(scores))
        return
    table = Table(box=None, pad_edge=False)
    table.add_column("label")
    table.add_column("F1", justify="right")
    for label, f1 in scores.f1.items():
        table.add_row(label, f"{f1:.3f}")
    out.print(table)
    out.print(
        f"{scores.utterances} utterances: W-F1 {scores.weighted_f1:.4f}, macro-F1 {scores.macro_f1:.4f}, "
        f"accuracy {scores.accuracy:.4f}, calibration error {scores.calibration_error:.4f}"
    )

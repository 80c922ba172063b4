"""`erc-live train`: the options, a line per epoch, and the score of what was kept."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from erc_live.live.errors import ConfigError
from erc_live.live.learning.options import Corpus, Encoder, bar, encoder_folder, out, own_weights


def train(
    corpus: Corpus,
    network: Annotated[
        str, typer.Option(help="dialogue_graph, multiemo, vuemo, hgf_milag or safsd_glnet.")
    ] = "dialogue_graph",
    into: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for the weights and their card. Default: where --network finds them."),
    ] = None,
    sizes: Annotated[
        list[str] | None,
        typer.Option("--size", help="Of the network, e.g. width=64 or causal=true.", metavar="KEY=VALUE"),
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds; the one that is best on dev is kept.", metavar="N,N,...")] = "0",
    epochs: Annotated[int, typer.Option(min=1)] = 4,
    batch: Annotated[int, typer.Option(min=1, help="Utterances per step, in whole dialogues.")] = 48,
    rate: Annotated[float, typer.Option(help="Highest learning rate of the dialogue graph.")] = 1e-3,
    adapter: Annotated[str | None, typer.Option(help="Go on from the adapter of these weights.")] = None,
    adapter_rank: Annotated[int, typer.Option(min=0, help="Rank of the text adapter; 0 leaves it as it is.")] = 16,
    adapter_rate: Annotated[float, typer.Option(help="Highest learning rate of the text adapter.")] = 1e-3,
    encoder: Encoder = None,
) -> None:
    """Train the dialogue graph and the text adapter on a corpus; epoch and seed are chosen on its dev split."""
    from erc_live.models.training.train import Epoch, TrainConfig
    from erc_live.models.training.train import train as run

    config = TrainConfig(
        network=network,
        sizes=_sizes(sizes or []),
        seeds=_numbers(seeds),
        adapter=adapter,
        epochs=epochs,
        batch_utterances=batch,
        learning_rate=rate,
        adapter_rank=adapter_rank,
        adapter_learning_rate=adapter_rate,
    )
    with bar() as shown:
        task = shown.add_task("training", total=len(config.seeds) * config.epochs)

        def show(epoch: Epoch) -> None:
            where, score = f"seed {epoch.seed}  epoch {epoch.epoch + 1}", f"dev W-F1 {epoch.dev_weighted_f1:.4f}"
            shown.console.print(f"{where}  loss {epoch.loss:.4f}  {score}")
            shown.advance(task)

        command = " ".join(["erc-live", *sys.argv[1:]])
        folder = into or own_weights(network)
        checkpoint = run(corpus, encoder or encoder_folder(), folder, config, command, show)
    out.print(f"{folder}: dev W-F1 {checkpoint.card.scores['dev']['weighted_f1']:.4f}")


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(number) for number in text.split(","))
    except ValueError as error:
        raise ConfigError(f"--seeds {text}: write whole numbers with commas between them, such as 0,1,2") from error


def _sizes(items: list[str]) -> dict[str, Any]:
    """KEY=VALUE with a JSON value."""
    try:
        return {key: json.loads(value) for key, _, value in (item.partition("=") for item in items)}
    except ValueError as error:
        raise ConfigError(f"--size {' '.join(items)}: write KEY=VALUE with a number, true or false") from error

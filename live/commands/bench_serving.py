"""`erc-live bench load|shard|kills|naive`: many dialogues under load, and what simpler designs would do."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from erc_live.live.screen.console import out
from erc_live.live.screen.progress import elapsed


def bench_load(
    dialogues: Annotated[int, typer.Option(min=1, help="That speak at once.")] = 100,
    rate: Annotated[float, typer.Option(min=0.01, help="Utterances per s, of all together.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="For so long.")] = 20.0,
    kills: Annotated[int, typer.Option(min=0, help="Kill the server, or a shard, so often meanwhile.")] = 0,
    ray: Annotated[bool, typer.Option("--ray", help="Of shards in processes that Ray starts here.")] = False,
    shards: Annotated[int, typer.Option(min=1, help="With --ray: so many.")] = 2,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    log: Annotated[str, typer.Option(help="A new one, for the server; default: in a folder.", metavar="PLACE")] = "",
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Many dialogues speak into a real `erc-live serve`: how late its decisions and events are, what they cost, and
    what is lost, repeated or wrong where it is killed at random. Exit code 1 if anything is.

    erc-live bench load --dialogues 200 --rate 100 --kills 20
    """
    import tempfile

    from erc_live.live import config as configuration
    from erc_live.live.bench import load as bench
    from erc_live.live.errors import ConfigError
    from erc_live.models import checkpoint

    weights = checkpoint.load(configuration.load(sets=sets or []).config.tracker.weights)
    if ray and log:
        raise ConfigError("--log goes without --ray: shards have their logs in a folder")
    plan = bench.LoadPlan(dialogues, rate, seconds, kills, seed, log, shards if ray else 0)
    with tempfile.TemporaryDirectory(prefix="erc-load-") as place, elapsed() as bar:
        task = bar.add_task("starting", total=None)
        result = bench.bench_load(
            plan, weights, Path(place), sets or [], lambda line: bar.update(task, description=line[:60])
        )
    if as_json:
        out.print_json(data=bench.plain(result))
    else:
        _print("Load", bench.plain(result))
    if result.lost or result.repeated or result.wrong or result.differing:
        raise typer.Exit(1)


def bench_shard(
    dialogues: Annotated[int, typer.Option(min=1, help="That speak at once.")] = 1000,
    rate: Annotated[float, typer.Option(min=0.01, help="Utterances per s, of all together.")] = 250.0,
    seconds: Annotated[float, typer.Option(min=0.1, help="For so long.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    log: Annotated[Path | None, typer.Option(help="A new folder; default: where the system has such.")] = None,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """One shard in one process, without sockets of senders: its loop, steps, log, and public stream with a subscriber.
    Utterances come at random times, and count from then on. At the end it is recovered from its log, and compared.
    Exit code 1 if anything is lost or has other bits.

    erc-live bench shard --dialogues 10000 --rate 2500 --seconds 60
    """
    import tempfile

    from erc_live.live import config as configuration
    from erc_live.live.bench import shard_load as bench

    config = configuration.load(sets=sets or []).config
    with tempfile.TemporaryDirectory(prefix="erc-shard-") as place, elapsed() as bar:
        task = bar.add_task("starting", total=None)
        result = bench.bench_shard(
            bench.ShardPlan(dialogues, rate, seconds, seed),
            config,
            (Path(place), log or Path(place) / "log"),
            lambda line: bar.update(task, description=line),
        )
    if as_json:
        out.print_json(data=result.plain())
    else:
        _print("Shard", result.plain())
    if result.lost or result.differing or result.unequal:
        raise typer.Exit(1)


def bench_kills(
    kills: Annotated[int, typer.Option(min=1, help="So often.")] = 1000,
    dialogues: Annotated[int, typer.Option(min=1, help="That speak at once.")] = 40,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Kill the process of a shard at random instants, over and over, and compare what comes back bit by bit: what is
    lost, repeated, wrong or recovered otherwise. Exit code 1 if anything is.
    """
    import tempfile

    from erc_live.live import config as configuration
    from erc_live.live.bench import shard_kills as bench

    config = configuration.load(sets=sets or []).config
    with tempfile.TemporaryDirectory(prefix="erc-kills-") as place, elapsed() as bar:
        task = bar.add_task("starting", total=None)
        result = bench.bench_kills(
            kills, dialogues, config, Path(place), lambda line: bar.update(task, description=line), seed
        )
    if as_json:
        out.print_json(data=result.plain())
    else:
        _print("Kills", result.plain())
    if not result.good:
        raise typer.Exit(1)


def bench_naive(
    actors: Annotated[int, typer.Option(min=1, help="One for each dialogue.")] = 16,
    utterances: Annotated[int, typer.Option(min=2, help="Of each dialogue.")] = 40,
    sets: Annotated[list[str] | None, typer.Option("--set", help="One key.", metavar="SECTION.KEY=VALUE")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What simpler designs cost, side by side with a shard: an actor of Ray for each dialogue, and a forward over the
    dialogue so far for each utterance.
    """
    from erc_live.live import config as configuration
    from erc_live.live.bench import naive_load as bench
    from erc_live.live.errors import EngineError

    if find_spec("ray") is None:
        raise EngineError("bench naive needs ray: pip install 'erc-live[scale]'")
    config = configuration.load(sets=sets or []).config
    with elapsed() as bar:
        task = bar.add_task("starting", total=None)
        costs = bench.bench_naive(actors, utterances, config, lambda line: bar.update(task, description=line))
    if as_json:
        out.print_json(data=costs)
    else:
        _print("Designs", costs)


def _print(title: str, figures: Mapping[str, Any]) -> None:
    from rich.table import Table

    table = Table("what", "how much", title=title)
    for what, much in figures.items():
        table.add_row(what.replace("_", " "), str(much))
    out.print(table)

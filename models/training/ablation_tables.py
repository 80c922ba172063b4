"""The outcomes of an experiment as one Markdown file for people and one JSON file for programs.

Scores are means over the seeds with the standard deviation. A difference is tested with a paired bootstrap over the
dialogues, the seeds averaged in each draw; the p of one table are adjusted together after Holm (1979), for who asks ten
questions gets a chance finding. A difference below one standard deviation of the seeds is called none.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from erc_live.models.training.ablation import DEFAULT, Cell, Outcome
from erc_live.models.training.metrics import ScoreDifference, macro_f1, paired_bootstrap


@dataclass(frozen=True)
class Compared:
    """How much better `name` is than `reference`; `holm` is p adjusted for all that stand in one table."""

    name: str
    reference: str
    difference: ScoreDifference
    holm: float
    above_spread: bool  # whether it is more than one standard deviation of the seeds


@dataclass(frozen=True)
class Table:
    """All outcomes, what was said about them in the header, and the comparisons by table."""

    header: tuple[str, ...]
    outcomes: tuple[Outcome, ...]
    failed: Mapping[str, str]  # name of the cell -> why
    comparisons: Mapping[str, tuple[Compared, ...]]


def table(header: Sequence[str], outcomes: Sequence[Outcome], failed: Mapping[str, str]) -> Table:
    """Compare what there is to compare."""
    by_cell = {outcome.cell.name: outcome for outcome in outcomes}
    networks = [outcome for outcome in outcomes if not outcome.cell.block]
    pairs = {
        "networks": [
            (one, by_cell.get(_named(one.cell, network=DEFAULT)))
            for one in networks
            if one.cell.causal and one.cell.config.network != DEFAULT
        ],
        "causality": [(one, by_cell.get(_named(one.cell, causal=True))) for one in networks if not one.cell.causal],
        "blocks": [(one, by_cell.get(_named(one.cell))) for one in outcomes if one.cell.block],
    }
    comparisons = {
        title: _compared([(one, other) for one, other in chosen if other]) for title, chosen in pairs.items()
    }
    return Table(tuple(header), tuple(outcomes), dict(failed), comparisons)


def holm(values: Sequence[float]) -> list[float]:
    """Adjust p for the number of questions m (Holm 1979): the k-th smallest times m - k + 1, never falling."""
    order = sorted(range(len(values)), key=values.__getitem__)
    adjusted, least = [0.0] * len(values), 0.0
    for rank, index in enumerate(order):
        least = max(least, min(1.0, values[index] * (len(values) - rank)))
        adjusted[index] = least
    return adjusted


def as_json(table: Table) -> dict[str, Any]:
    """Every figure, in the order of the cells."""
    return {
        "header": list(table.header),
        "cells": [_cell(outcome) for outcome in table.outcomes],
        "failed": dict(table.failed),
        "comparisons": {title: [asdict(one) for one in rows] for title, rows in table.comparisons.items()},
    }


def as_markdown(table: Table) -> str:
    """The tables that there are cells for, under their header."""
    parts = [
        "\n".join(table.header),
        _networks(table.outcomes),
        _differences("Against the default network, causal", table.comparisons["networks"]),
        _differences("What causality costs: two-sided minus causal", table.comparisons["causality"]),
        _blocks(table),
        _ahead(table.outcomes),
        "\n".join(f"- {name}: not trained: {why}" for name, why in table.failed.items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _named(cell: Cell, network: str | None = None, causal: bool | None = None) -> str:
    """The name of the cell that differs from this one in the given, and changes no block."""
    config = cell.config
    letters = "".join(modality[0] for modality in config.modalities)
    form = "causal" if (cell.causal if causal is None else causal) else "two-sided"
    return f"{network or config.network} {form} {letters}"


def _compared(pairs: Sequence[tuple[Outcome, Outcome]]) -> tuple[Compared, ...]:
    found = [paired_bootstrap(other.answers, one.answers) for one, other in pairs]
    adjusted = holm([difference.p for difference in found])
    return tuple(
        Compared(one.cell.name, other.cell.name, difference, p, abs(difference.weighted_f1) > max(_sd(one), _sd(other)))
        for (one, other), difference, p in zip(pairs, found, adjusted, strict=True)
    )


def _scores(outcome: Outcome) -> list[float]:
    return [answers.weighted_f1() for answers in outcome.answers]


def _sd(outcome: Outcome) -> float:
    scores = _scores(outcome)
    return stdev(scores) if len(scores) > 1 else 0.0


def _cell(outcome: Outcome) -> dict[str, Any]:
    cell, scores = outcome.cell, _scores(outcome)
    macro = [macro_f1(answers.confusions().sum(0)) for answers in outcome.answers]
    return {
        "name": cell.name,
        "network": cell.config.network,
        "causal": cell.causal,
        "modalities": list(cell.config.modalities),
        "block": cell.block,
        "sizes": cell.config.sizes,
        "rate": cell.config.rate,
        "seeds": list(cell.config.seeds),
        "parameters": outcome.parameters,
        "seconds": round(outcome.seconds, 1),
        "weighted_f1": {"by_seed": scores, "mean": mean(scores), "sd": _sd(outcome)},
        "macro_f1": {"by_seed": macro, "mean": mean(macro)},
        "look_ahead": outcome.ahead,
    }


def _rows(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *rows)]
    return "\n".join(lines) if len(lines) > 2 else ""


def _figure(outcome: Outcome | None) -> str:
    if outcome is None:
        return ""
    scores = _scores(outcome)
    return f"{mean(scores):.3f}" + (f" ± {_sd(outcome):.3f}" if len(scores) > 1 else "")


def _networks(outcomes: Sequence[Outcome]) -> str:
    plain = [outcome for outcome in outcomes if not outcome.cell.block]
    columns = list(dict.fromkeys("".join(m[0] for m in one.cell.config.modalities) for one in plain))
    rows: dict[tuple[str, bool], dict[str, Outcome]] = {}
    for one in plain:
        letters = "".join(m[0] for m in one.cell.config.modalities)
        rows.setdefault((one.cell.config.network, one.cell.causal), {})[letters] = one
    return _rows(
        ["network", "form", "parameters", *columns],
        (
            [
                network,
                "causal" if causal else "two-sided",
                f"{max(one.parameters for one in row.values()) / 1e6:.2f} M",
                *(_figure(row.get(column)) for column in columns),
            ]
            for (network, causal), row in rows.items()
        ),
    )


def _differences(title: str, compared: Sequence[Compared]) -> str:
    rows = _rows(["", "W-F1", "95 %", "p (Holm)", ""], ([one.name, *_difference(one)] for one in compared))
    return f"**{title}**\n\n{rows}" if rows else ""


def _difference(one: Compared) -> list[str]:
    d = one.difference
    return [
        f"{d.weighted_f1:+.3f}",
        f"{d.low:+.3f} to {d.high:+.3f}",
        f"{one.holm:.3f}",
        "" if one.above_spread else "no difference (below one sd)",
    ]


def _blocks(table: Table) -> str:
    by_name = {outcome.cell.name: outcome for outcome in table.outcomes}
    compared = table.comparisons["blocks"]
    if not compared:
        return ""
    reference = by_name[compared[0].reference]
    rows = [
        [reference.cell.name, _figure(reference), "", "", "", ""],
        *([by_name[one.name].cell.block, _figure(by_name[one.name]), *_difference(one)] for one in compared),
    ]
    return f"**Blocks of the default network**\n\n{_rows(['', 'W-F1', 'change', '95 %', 'p (Holm)', ''], rows)}"


def _ahead(outcomes: Sequence[Outcome]) -> str:
    curves = [one for one in outcomes if one.ahead]
    if not curves:
        return ""
    steps = list(curves[0].ahead)
    rows = [[one.cell.name, *(f"{mean(one.ahead[step]):.3f}" for step in steps)] for one in curves]
    return f"**Looking ahead: W-F1 when so many later utterances are heard**\n\n{_rows(['', *steps], rows)}"

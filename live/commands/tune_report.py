"""What `erc-live tune` shows of a study in a terminal of 80 columns: the best trials, their options side by side, and
in words which is chosen and why.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from erc_live.streams.plural import counted

if TYPE_CHECKING:
    from erc_live.models.training.pooled import Figure

BEST_TRIALS = 5  # that are shown, beside the first and the chosen one


@dataclass(frozen=True)
class Tried:
    """A trial that ran to its end. `figure`: its score in full, of folds."""

    number: int
    score: float
    options: Mapping[str, Any]
    figure: "Figure | None" = None


@dataclass(frozen=True)
class Chosen:
    """The number of the chosen trial; `search`: how it was chosen, as the card tells it."""

    number: int
    search: Mapping[str, Any]


def report(tried: Sequence[Tried], chosen: Chosen) -> RenderableType:
    """All of it. `tried`: one or more, in their order."""
    best = sorted(tried, key=lambda one: one.score, reverse=True)[:BEST_TRIALS]
    folds = tried[0].figure is not None
    also = [one for one in tried if one.number == chosen.number or (folds and one is tried[0])]
    rows = list({one.number: one for one in (*best, *also)}.values())
    return Group(_scores(rows, tried[0], chosen), Text(), _options(rows), Text(), Text(in_words(chosen, tried[0])))


def in_words(chosen: Chosen, first: Tried) -> str:
    """Which trial is chosen, of how many, and why not the best one."""
    search = chosen.search
    given_up = f", {search['given_up']} of them given up" if search["given_up"] else ""
    said = (
        f"{counted(search['settings'], 'setting')} tried{given_up}, "
        f"scored by {counted(search['utterances'], 'labelled utterance')} ({search['chosen_on']}). "
    )
    if first.figure is None:
        return said + f"Trial {chosen.number} is the best."
    name = f"trial {first.number}, the usual options"
    if chosen.number == first.number:
        found = f"Chosen: {name}."
    else:
        found = f"Chosen: trial {chosen.number}, {_gain(search['against_first'])} against {name}."
    if search["best"] != chosen.number:
        found += f" What trial {search['best']} is better than it, {_gain(search['best_against_chosen'])}, is none."
    return said + found + " In brackets 95 % of the resamples of the dialogues."


def _gain(gain: Mapping[str, Any]) -> str:
    return f"{gain['difference']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"


def _scores(rows: Sequence[Tried], first: Tried, chosen: Chosen) -> Table:
    against = f"against trial {first.number}"
    table = _table("trial", "W-F1", *(("sd", "95 %", against, "") if first.figure else ()), "")
    for one in rows:
        mark = "chosen" if one.number == chosen.number else ""
        table.add_row(str(one.number), f"{one.score:.4f}", *_in_full(one, first), mark)
    return table


def _in_full(one: Tried, first: Tried) -> tuple[str, ...]:
    if one.figure is None or first.figure is None:
        return ()
    low, high = one.figure.interval
    spread = "" if one.figure.sd is None else f"{one.figure.sd:.4f}"
    interval = f"{low:.3f} to {high:.3f}"
    if one is first:
        return spread, interval, "", ""
    gain = one.figure.against(first.figure)
    difference = f"{gain.difference:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"
    return spread, interval, difference, "none" if gain.none else ""


def _options(rows: Sequence[Tried]) -> Table:
    """An option in each row, a trial in each column."""
    table = _table("option", *(str(one.number) for one in rows))
    for name in rows[0].options:
        table.add_row(name, *(_short(one.options[name]) for one in rows))
    return table


def _table(*titles: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for number, title in enumerate(titles):
        table.add_column(title, justify="right" if number else "left", no_wrap=True)
    return table


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

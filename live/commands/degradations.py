"""What the commands for voices and for faces share: the names of degradations, and the table of a score."""

from collections.abc import Collection, Mapping, Sequence

from rich.table import Table

from erc_live.live.errors import ConfigError


def degradations(given: Sequence[str] | None, known: Collection[str]) -> tuple[str, ...]:
    """What `--degrade` names, in its order. Raises ConfigError for a name that is not known."""
    names = tuple(given or ())
    if unknown := [name for name in names if name not in known]:
        raise ConfigError(f"--degrade {unknown[0]}: give one of {', '.join(known)}")
    return names


def confusion_table(
    labels: Sequence[str], headings: Sequence[str], recall: Mapping[str, float], confusion: Sequence[Sequence[int]]
) -> Table:
    """A row for each label: its recall, and what its clips or pictures were taken for, under `headings`."""
    table = Table(box=None, pad_edge=False)
    table.add_column("label", no_wrap=True)
    for title in ("recall", *headings):
        table.add_column(title, justify="right")
    for label, row in zip(labels, confusion, strict=True):
        share = f"{recall[label]:.3f}" if label in recall else "-"
        table.add_row(label, share, *(str(count) for count in row))
    return table

"""Which recognisers a bench is to measure: each a name that people use, and the configuration that it stands for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.config import Config
from erc_live.live.errors import ConfigError

ENGINES = ("pocketsphinx", "none", "auto")  # any other name is one of faster-whisper's weights, or their folder

Recognisers = Annotated[
    list[str] | None,
    typer.Option(
        "--recogniser",
        help="Weights of faster-whisper (tiny.en, base, a folder), pocketsphinx, or none. Several: side by side, in "
        "the same run. Default: the configured one.",
        metavar="NAME",
    ),
]


@dataclass(frozen=True)
class Choice:
    """A recogniser: what to call it, and what is set for it, as `--set` takes it."""

    name: str
    sets: tuple[str, ...] = ()


def choices(names: Sequence[str] | None) -> tuple[Choice, ...]:
    """The recognisers of these names; without any, the configured one. Raises ConfigError for one that is twice."""
    if not names:
        return (Choice("configured"),)
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"--recogniser {min(twice)}: it is named twice")
    return tuple(Choice(name, _sets(name)) for name in names)


def configured(choice: Choice, sets: Sequence[str]) -> Config:
    """The configuration with this recogniser. Raises ConfigError."""
    return configuration.load(sets=[*sets, *choice.sets]).config


def _sets(name: str) -> tuple[str, ...]:
    if name in ENGINES:
        return (f"transcriber.engine={name}",)
    return ("transcriber.engine=faster-whisper", f"transcriber.model={name}")

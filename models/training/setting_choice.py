"""Which of the settings that a search tried is chosen, where luck in the dialogues is worth more than most settings.

The best of many settings is partly the luckiest one: it is best on these dialogues, and would not be on others. So the
first setting, the usual one, stands until a later one is better by more than luck: until the 95 % interval of their
difference, over the same draws of the dialogues, lies above 0. Whatever else is a little better is no better.
That rule errs towards the first. It is still true that of many settings one in forty passes it by luck alone, hence the
number of those that were tried belongs on the card of what is trained.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from erc_live.models.training.pooled import Figure


@dataclass(frozen=True)
class Setting:
    """One that was tried to its end: its number, in the order of trying, and the weighted F1 that it reached."""

    number: int
    score: Figure


def select(settings: Sequence[Setting]) -> Setting:
    """The first, or the one that was better than it beyond luck, or the one that was better than that one.

    Args:
        settings: one or more, in the order of trying, scored on the same dialogues.
    """
    standing, *later = settings
    for setting in later:
        gain = setting.score.against(standing.score)
        if gain.low > 0:
            standing = setting
    return standing

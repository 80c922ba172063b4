"""Networks of the same sizes that answer together: the mean of what each answers.

Trained from other random numbers, they err in other places, and the mean errs less than any of them is likely to
(Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation using deep ensembles"). It is the
logits that are averaged, not the probabilities, so that a temperature and a shift in each member are one of the whole
(`blocks/heads.py`). The rule of this file: an ensemble has the door of its members, causal or not, and costs as much as
all of them; its state is of their type, with an axis for the members behind that of the dialogues.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from erc_live.models.batch import DialogueBatch, UtteranceBatch
from erc_live.models.state import Sizes, transform


class Ensemble(nn.Module):
    """The mean of several networks; implements `Steppable` where they do. Raises ValueError of members that differ in
    their sizes.
    """

    def __init__(self, members: Sequence[Any]) -> None:
        super().__init__()
        if not members or any(one.config != members[0].config for one in members):
            raise ValueError("members of an ensemble must be of the same sizes")
        self.members: Any = nn.ModuleList(members)
        self.receptive_field: int | None = getattr(members[0], "receptive_field", None)

    @property
    def config(self) -> Sizes:
        """The sizes of each member."""
        config: Sizes = self.members[0].config
        return config

    def forward(self, batch: DialogueBatch) -> Tensor:
        """As of a member."""
        return torch.stack([member(batch) for member in self.members]).mean(0)

    def initial_state(self, dialogues: int = 1) -> Any:
        """The state of dialogues in which nothing has been said; `ValueError` if the members are two-sided.

        Shapes: as of a member, (B, ...), with the members as the second axis
        """
        return _stacked([member.initial_state(dialogues) for member in self.members])

    def step(self, utterance: UtteranceBatch, state: Any) -> tuple[Tensor, Any]:
        """Answer to the next utterance of each dialogue; `state` stays as it was."""
        answers, after = zip(*(member.step(utterance, own) for member, own in self._each(state)), strict=True)
        return torch.stack(answers).mean(0), _stacked(after)

    def attention(self, utterance: UtteranceBatch, state: Any) -> Tensor:
        """Whom the members attend to, in the mean, where they can tell."""
        return torch.stack([member.attention(utterance, own) for member, own in self._each(state)]).mean(0)

    def _each(self, state: Any) -> Iterator[tuple[Any, Any]]:
        """The members, each with its state."""
        for number, member in enumerate(self.members):
            yield member, transform(partial(torch.select, dim=1, index=number), state)


def members_of(model: Any) -> list[Any]:
    """The networks of an ensemble; a single network is its own and only one."""
    return list(model.members) if isinstance(model, Ensemble) else [model]


def _stacked(states: Sequence[Any]) -> Any:
    return transform(lambda *parts: torch.stack(parts, dim=1), *states)

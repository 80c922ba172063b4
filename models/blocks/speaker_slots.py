"""Speakers as vectors: a slot by order of first appearance, so no identity is learned and any number may speak.

The rule of this file: a slot depends on the past alone. When all are taken, a new speaker gets the slot of the one who
has been silent for longest; if that one returns, it is as a new speaker.
"""

import torch
from torch import Tensor, nn


class SpeakerEmbedding(nn.Module):
    """A learned vector per slot.

    Shapes: speakers (B, T) int64, at least 0 -> (B, T, width); each dialogue assigns slots for itself

    Args:
        slots: how many speakers are told apart at a time.
        width: width of the vectors.
    """

    def __init__(self, slots: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Embedding(slots, width)

    def forward(self, speakers: Tensor) -> Tensor:
        state, taken = self.initial_state(len(speakers)), []
        for speaker in speakers.unbind(1):
            slot, state = take_slot(speaker, state)
            taken.append(slot)
        vectors: Tensor = self.vectors(torch.stack(taken, dim=1))
        return vectors

    def initial_state(self, dialogues: int) -> Tensor:
        """Slots of nobody. Shapes: -> (B, 2, slots) int64, see `free_slots`"""
        return free_slots(dialogues, self.vectors.num_embeddings, self.vectors.weight.device)

    def step(self, speakers: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """The next speaker of each dialogue. Shapes: speakers (B,), state (B, 2, slots) -> (B, width), state"""
        slot, after = take_slot(speakers, state)
        return self.vectors(slot), after


def free_slots(dialogues: int, slots: int, device: torch.device) -> Tensor:
    """Slots of nobody, in the order in which they fill.

    Shapes: -> (B, 2, slots) int64: who has each slot (-1: nobody), and for how many utterances it was idle
    """
    idle = torch.arange(slots, 0, -1, device=device)  # the first is free for longest
    return torch.stack((torch.full_like(idle, -1), idle)).repeat(dialogues, 1, 1)


def take_slot(speaker: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """The slot of the next speaker of each dialogue. Shapes: speaker (B,), state (B, 2, slots) -> (B,), state"""
    holder, idle = state.unbind(1)
    own = holder == speaker[:, None]
    slot = torch.where(own.any(1), own.int().argmax(1), idle.argmax(1))
    taken = torch.arange(idle.shape[1], device=idle.device) == slot[:, None]
    after = torch.stack((torch.where(taken, speaker[:, None], holder), torch.where(taken, 0, idle + 1)), dim=1)
    return slot, after

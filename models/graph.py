"""Edges of the dialogue graph: each utterance has edges from itself and the `window` utterances before it.

The rule of this file: every edge goes from source to target, and the target is the same utterance or a later one. With
operators that normalise over incoming edges, what has been computed for an utterance therefore never changes again.
`past_window` is the definition; `past_window_step` gives the incoming edges of the newest utterance alone.
The one exception says so in its name: `two_sided_window`, for published models that read the whole dialogue.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor


class Relation(IntEnum):
    """Who spoke the source, seen from the target."""

    SELF = 0  # the source is the target itself
    SAME_SPEAKER = 1
    OTHER_SPEAKER = 2


@dataclass(frozen=True)
class Edges:
    """Directed edges, ordered by target, the latest source first.

    Shapes: index (2, E) int64, row 0 source and row 1 target; relation (E,) int64 of `Relation`; distance (E,) int64,
    how many utterances the target comes after the source, 0..window; negative where the source is the later one.
    """

    index: Tensor
    relation: Tensor
    distance: Tensor


def past_window(lengths: Tensor, speakers: Tensor, window: int) -> Edges:
    """All edges of packed dialogues. Shapes: lengths (B,), speakers (N,) with N = lengths.sum()."""
    return _window(lengths, speakers, range(window + 1))


def two_sided_window(lengths: Tensor, speakers: Tensor, past: int, future: int) -> Edges:
    """Edges from so many utterances before, and so many after. Shapes: as in `past_window`."""
    return _window(lengths, speakers, range(-future, past + 1))


def past_window_step(past_speakers: Tensor, seen: Tensor, speakers: Tensor) -> Edges:
    """Edges into the newest utterance of each dialogue.

    Node (b, w) of the sources is row b * (W + 1) + w: the past at 0..W-1, oldest first, the newest itself at W.
    Shapes: past_speakers (B, W), seen (B,) how many of the past, counted from the newest, are filled; speakers (B,).
    """
    dialogues, window = past_speakers.shape
    distance = torch.arange(window + 1, device=speakers.device).expand(dialogues, -1)
    target, hop = torch.nonzero(distance <= seen[:, None], as_tuple=True)
    source_speakers = torch.cat((past_speakers, speakers[:, None]), dim=1)[target, window - hop]
    source = target * (window + 1) + window - hop
    return Edges(torch.stack((source, target)), relate(source_speakers, speakers[target], hop), hop)


def _window(lengths: Tensor, speakers: Tensor, distances: range) -> Edges:
    nodes = torch.arange(len(speakers), device=speakers.device)
    end = torch.repeat_interleave(lengths.cumsum(0), lengths)  # (N,) node after the last of the node's dialogue
    first = end - torch.repeat_interleave(lengths, lengths)
    distance = torch.arange(distances.start, distances.stop, device=speakers.device)
    source = nodes[:, None] - distance  # (N, distances)
    target, column = torch.nonzero((source >= first[:, None]) & (source < end[:, None]), as_tuple=True)
    source, distance = source[target, column], distance[column]
    return Edges(torch.stack((source, target)), relate(speakers[source], speakers[target], distance), distance)


def relate(source_speaker: Tensor, target_speaker: Tensor, distance: Tensor) -> Tensor:
    """The `Relation` of pairs of utterances. Shapes: any that broadcast"""
    relation = torch.where(source_speaker == target_speaker, Relation.SAME_SPEAKER, Relation.OTHER_SPEAKER)
    return torch.where(distance == 0, Relation.SELF, relation)

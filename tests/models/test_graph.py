"""The edge builders against a definition in plain loops."""

from itertools import chain

import torch
from hypothesis import given
from hypothesis import strategies as st

from erc_live.models.graph import Relation, past_window, past_window_step, two_sided_window

talks = st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=4)


def relation(source: int, target: int, distance: int) -> Relation:
    if distance == 0:
        return Relation.SELF
    return Relation.SAME_SPEAKER if source == target else Relation.OTHER_SPEAKER


def by_definition(speakers: list[int], window: int, first: int) -> set[tuple[int, int, int, int]]:
    """(source, target, relation, distance) of one dialogue whose first node has the number `first`."""
    return {
        (first + s, first + t, relation(speakers[s], speakers[t], t - s), t - s)
        for t in range(len(speakers))
        for s in range(max(0, t - window), t + 1)
    }


@given(talks=talks, window=st.integers(1, 5))
def test_past_window_is_its_definition(talks: list[list[int]], window: int) -> None:
    lengths = torch.tensor([len(talk) for talk in talks])
    edges = past_window(lengths, torch.tensor(list(chain(*talks))), window)
    found = list(zip(*edges.index.tolist(), edges.relation.tolist(), edges.distance.tolist(), strict=True))
    firsts = (lengths.cumsum(0) - lengths).tolist()
    expected = set().union(*(by_definition(talk, window, first) for talk, first in zip(talks, firsts, strict=True)))
    assert set(found) == expected
    assert len(found) == len(expected)


@given(talks=talks, window=st.integers(1, 5))
def test_step_edges_are_those_into_the_newest(talks: list[list[int]], window: int) -> None:
    past = torch.tensor([([0] * window + talk[:-1])[-window:] for talk in talks])
    seen = torch.tensor([min(window, len(talk) - 1) for talk in talks])
    edges = past_window_step(past, seen, torch.tensor([talk[-1] for talk in talks]))
    found = zip(*edges.index.tolist(), edges.relation.tolist(), edges.distance.tolist(), strict=True)
    expected = set()
    for b, talk in enumerate(talks):
        newest = len(talk) - 1
        slots = b * (window + 1) + window - newest  # the slot of a node is its number plus this
        expected |= {(slots + s, b, kind, hop) for s, t, kind, hop in by_definition(talk, window, 0) if t == newest}
    assert set(found) == expected


@given(talks=talks, window=st.integers(1, 5), later=st.integers(0, 5))
def test_two_sided_window_is_the_past_window_and_the_mirror_of_another(
    talks: list[list[int]], window: int, later: int
) -> None:
    lengths, speakers = torch.tensor([len(talk) for talk in talks]), torch.tensor(list(chain(*talks)))
    past, future = (
        set(zip(*edges.index.tolist(), edges.relation.tolist(), edges.distance.tolist(), strict=True))
        for edges in (past_window(lengths, speakers, window), past_window(lengths, speakers, later))
    )
    mirrored = {(target, source, kind, -hop) for source, target, kind, hop in future}
    both = two_sided_window(lengths, speakers, window, later)
    found = list(zip(*both.index.tolist(), both.relation.tolist(), both.distance.tolist(), strict=True))
    assert set(found) == past | mirrored
    assert len(found) == len(set(found))

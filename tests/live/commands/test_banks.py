"""The banks of train and dev share no picture, and none that the face encoder learnt from."""

import torch
from torch import Generator

from erc_live.live.commands.banks import half_of


def test_no_picture_and_no_copy_is_in_both_halves_or_among_those_learnt() -> None:
    pictures = torch.randint(0, 256, (40, 48, 48), generator=Generator().manual_seed(0), dtype=torch.uint8)
    pictures[[20, 31, 8]] = pictures[[1, 1, 3]]
    learnt = pictures[[5, 6]].clone()
    halves = {split: set(half_of(pictures, learnt, split).tolist()) for split in ("train", "dev")}
    assert halves["train"] | halves["dev"] == set(range(40)) - {5, 6}
    assert not halves["train"] & halves["dev"]
    assert {len(half) for half in halves.values()} == {19}
    for copies in ({1, 20, 31}, {3, 8}):
        assert copies <= halves["train"] or copies <= halves["dev"]

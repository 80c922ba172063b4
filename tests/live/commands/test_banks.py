"""The banks of train and dev share no picture, and none that the face encoder learnt from."""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Generator

from erc_live.live.commands.banks import answers_of_folds, half_of


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


def test_the_answers_of_the_folds_stand_for_those_of_an_encoder_that_knows_everybody(tmp_path: Path) -> None:
    clean, noise = torch.arange(21.0).view(3, 7), -torch.arange(21.0).view(3, 7)
    noise[2] = torch.nan  # not usable under noise
    save_file({"clean": clean, "noise": noise}, tmp_path / "some", {"clips": json.dumps(["a", "b", "c"])})
    found = answers_of_folds(tmp_path / "some", {"c": "joy", "a": "fear"})
    assert found.labels == ("joy", "fear", "fear")
    torch.testing.assert_close(found.vectors, torch.stack((clean[2], clean[0], noise[0])))

"""Spoiling faces: repeatable, whole grey levels, and each fixed way does what it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Generator, Tensor

from erc_live.models.training.face_images import DEGRADATIONS, blurred, degrade, resized, spoil


def faces(n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, (n, 48, 48), generator=Generator().manual_seed(seed), dtype=torch.uint8)


def roughness(pictures: Tensor) -> float:
    return float(pictures.float().diff(dim=-1).abs().mean())


@given(n=st.integers(1, 40), px=st.integers(24, 48), seed=st.integers(0, 999))
@settings(max_examples=20, deadline=None)
def test_training_pictures_are_whole_grey_levels(n: int, px: int, seed: int) -> None:
    pictures = spoil(faces(n, seed), px, 1.0, Generator().manual_seed(seed))
    assert pictures.shape == (n, px, px)
    assert torch.equal(pictures, pictures.round().clamp(0, 255))


def test_the_same_seed_spoils_alike_and_another_does_not() -> None:
    first, again, other = (spoil(faces(8), 48, 1.0, Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_with_no_strength_pictures_are_mirrored_at_most() -> None:
    plain = faces(30).float()
    spoilt = spoil(faces(30), 48, 0.0, Generator().manual_seed(0))
    kept, mirrored = (spoilt == plain).all((1, 2)), (spoilt == plain.flip(2)).all((1, 2))
    assert (kept | mirrored).all()
    assert 0 < int(kept.sum()) < 30


def test_the_pictures_themselves_stay_as_they_are() -> None:
    given_faces = faces(8)
    spoil(given_faces, 48, 1.0, Generator().manual_seed(0))
    degrade(given_faces, tuple(DEGRADATIONS))
    assert torch.equal(given_faces, faces(8))


@pytest.mark.parametrize("name", list(DEGRADATIONS))
def test_every_way_keeps_the_shape_and_repeats(name: str) -> None:
    once, again = degrade(faces(5), (name,)), degrade(faces(5), (name,))
    assert once.dtype == torch.uint8
    assert once.shape == (5, 48, 48)
    assert torch.equal(once, again)
    assert not torch.equal(once, faces(5))


def test_no_way_changes_nothing() -> None:
    assert torch.equal(degrade(faces(3), ()), faces(3))


def test_dark_is_dark_and_the_others_are_smooth() -> None:
    plain = faces(20)
    assert degrade(plain, ("dark",)).float().mean() < 0.2 * plain.float().mean()
    coarse = {name: roughness(degrade(plain, (name,))) for name in ("blur", "small", "tiny")}
    assert max(coarse.values()) < 0.5 * roughness(plain)
    assert coarse["tiny"] < coarse["small"]


@given(level=st.integers(0, 255), sigma=st.floats(0.3, 4.0), small=st.integers(8, 47))
@settings(max_examples=20, deadline=None)
def test_one_grey_stays_that_grey(level: int, sigma: float, small: int) -> None:
    flat = torch.full((1, 1, 48, 48), float(level))
    torch.testing.assert_close(blurred(flat, sigma), flat, atol=1e-2, rtol=0)
    torch.testing.assert_close(resized(flat, small, 48), flat, atol=1e-2, rtol=0)

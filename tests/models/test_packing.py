"""Packed weights come back to within half a step of their group, in four bits on the average."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from safetensors import SafetensorError
from safetensors.torch import save_file

from erc_live.models.encoders.four_bits import GROUP, input_moments
from erc_live.models.encoders.packing import is_packed, load_packed, pack, save_packed, unpack

VALUES = st.floats(-1e3, 1e3, width=32)


@settings(max_examples=50, deadline=None)
@given(npst.arrays("float32", st.tuples(st.integers(1, 4), st.sampled_from([1, 5, GROUP, 2 * GROUP])), elements=VALUES))
def test_a_matrix_is_right_to_half_a_step_of_its_group(array) -> None:
    matrix = torch.from_numpy(array)
    packed = pack({"m": matrix})
    assert packed["m"].dtype == torch.int8
    back = unpack(packed)["m"]
    assert back.shape == matrix.shape
    groups = matrix.reshape(len(matrix), -1, GROUP if matrix.shape[1] % GROUP == 0 else matrix.shape[1])
    step = groups.abs().amax(-1, keepdim=True) / 127
    # The scale is of half precision: it may be 2^-11 too small, and then the largest weight is cut; 2^-24 is its least.
    allowed = step * (0.5 + 127 * 2**-11) + 127 * 2**-24
    assert ((back.reshape(groups.shape) - groups).abs() <= allowed).all()


@settings(max_examples=50, deadline=None)
@given(npst.arrays("float32", st.tuples(st.integers(1, 4), st.sampled_from([GROUP, 2 * GROUP])), elements=VALUES))
def test_in_four_bits_a_group_is_right_to_half_a_step_of_its_range_on_the_average(array) -> None:
    matrix = torch.from_numpy(array)
    packed = pack({"m": matrix}, bits=4)
    assert packed["m"].dtype == torch.uint8
    assert packed["m"].shape == (len(matrix), matrix.shape[1] // 2)
    back = unpack(packed)["m"]
    assert back.shape == matrix.shape
    groups = matrix.reshape(len(matrix), -1, GROUP)
    least, most = groups.amin(-1, keepdim=True), groups.amax(-1, keepdim=True)
    step = (most - least) / 15
    # Scale and least value are of half precision, and the latter counts from the middle of the range.
    allowed = step * (0.5 + 24 * 2**-11) + 2 * groups.abs().amax(-1, keepdim=True) * 2**-11 + 16 * 2**-24
    assert ((back.reshape(groups.shape) - groups).square().mean(-1, keepdim=True) <= allowed.square()).all()


def test_four_bits_lose_less_than_even_steps_from_least_to_most() -> None:
    """As weights are distributed, by a sixth at least."""
    matrix = torch.randn(64, 8 * GROUP, generator=torch.Generator().manual_seed(0))
    groups = matrix.reshape(64, 8, GROUP)
    least = groups.amin(-1, keepdim=True)
    step = (groups.amax(-1, keepdim=True) - least) / 15
    even = ((groups - least) / step).round() * step + least
    lost = (unpack(pack({"m": matrix}, bits=4))["m"] - matrix).square().mean()
    assert lost < (even - groups).square().mean() * 5 / 6


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**16), st.integers(8, 40))
def test_where_it_is_known_what_comes_in_the_products_come_out_nearer(seed: int, seen: int) -> None:
    """Also where there are fewer inputs than columns, which leaves directions unknown."""
    generator = torch.Generator().manual_seed(seed)
    matrix, mixing = torch.randn(8, 2 * GROUP, generator=generator), torch.randn(4, 2 * GROUP, generator=generator)
    apart = 0.1 * torch.randn(seen, 2 * GROUP, generator=generator)
    inputs = torch.randn(seen, 4, generator=generator) @ mixing + apart
    alone = unpack(pack({"m": matrix}, bits=4))["m"]
    together = unpack(pack({"m": matrix}, bits=4, moments={"m": inputs.mT @ inputs}))["m"]
    lost = [((one - matrix) @ inputs.mT).square().mean() for one in (alone, together)]
    assert lost[1] < 0.7 * lost[0]
    assert torch.isfinite(together).all()


def test_inputs_that_never_came_leave_each_group_to_itself() -> None:
    matrix = torch.randn(3, GROUP)
    packed = [pack({"m": matrix}, 4, moments) for moments in ({}, {"m": torch.zeros(GROUP, GROUP)})]
    assert all(torch.equal(packed[0][name], packed[1][name]) for name in packed[0])


def test_moments_are_those_of_what_comes_into_each_linear_layer() -> None:
    network = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1))
    first, second = torch.randn(2, 4, 3), torch.randn(5, 3)
    with input_moments(network) as moments:
        network(first)
        network(second)
    network(second)  # not any more
    rows = torch.cat([first.flatten(0, 1), second])
    inner = network[:2](rows)
    assert set(moments) == {"0.weight", "2.weight"}
    torch.testing.assert_close(moments["0.weight"], rows.mT @ rows)
    torch.testing.assert_close(moments["2.weight"], (inner.mT @ inner).detach())


def test_what_has_no_groups_keeps_eight_bits() -> None:
    weights = {"m": torch.randn(3, 5), "m.least": torch.randn(4), "wide": torch.randn(2, GROUP)}
    packed = pack(weights, bits=4)
    assert (packed["m"].dtype, packed["wide"].dtype) == (torch.int8, torch.uint8)
    assert packed["wide"].shape == (2, GROUP // 2)


def test_vectors_are_of_half_precision_and_zeros_stay_zeros(tmp_path: Path) -> None:
    weights = {"norm.scale": torch.tensor([1.0, 0.1]), "m": torch.zeros(2, 3)}  # a name that ends like one of ours
    save_packed(weights, tmp_path / "w")
    assert is_packed(tmp_path / "w")
    assert [path.name for path in tmp_path.iterdir()] == ["w"]
    back = load_packed(tmp_path / "w")
    assert set(back) == set(weights)
    assert torch.equal(back["m"], weights["m"])
    torch.testing.assert_close(back["norm.scale"], weights["norm.scale"], atol=1e-4, rtol=0.0)


def test_other_files_are_not_taken_for_packed_ones(tmp_path: Path) -> None:
    save_file({"m": torch.zeros(1)}, tmp_path / "plain")
    assert not is_packed(tmp_path / "plain")
    (tmp_path / "text").write_text("no weights")
    with pytest.raises(SafetensorError):
        is_packed(tmp_path / "text")

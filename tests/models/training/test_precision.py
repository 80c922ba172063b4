"""Which numbers are taken: those that are faster, by a measurement that leaves no trace."""

import pytest
import torch

from erc_live.models.training import precision as subject


@pytest.fixture(autouse=True)
def ask_anew():
    subject.precision.cache_clear()
    yield
    subject.precision.cache_clear()


@pytest.mark.parametrize(("speedup", "dtype"), [(0.07, torch.float32), (1.1, torch.float32), (2.0, torch.bfloat16)])
def test_the_faster_numbers_are_taken(monkeypatch, speedup, dtype):
    monkeypatch.setattr(subject, "speedup", lambda device: speedup)
    assert subject.precision("cpu") == dtype
    with subject.autocast(torch.device("cpu")):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == dtype
    assert str(dtype).removeprefix("torch.") in subject.in_words("cpu")


def test_the_measurement_draws_no_random_numbers_and_leaves_the_threads():
    threads = torch.get_num_threads()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    subject.speedup.cache_clear()
    assert subject.speedup("cpu") > 0
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads

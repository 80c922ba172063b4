"""In which numbers a network is trained: bfloat16 where this device is faster with them, else float32.

A processor without instructions for bfloat16 imitates them: a step of the text encoder then took 29 s of processor time
instead of 2. What a processor can do is asked of itself, by a measurement of some tenths of a second, once in each
process. One thread is asked: beside another training, threads that wait for each other took six to twenty times as
long, which hid that bfloat16 is three times as fast here. The rule of this file: what is trained is not asked, so that
two runs on one machine are trained alike.
"""

import functools
import time
from contextlib import AbstractContextManager

import torch
from torch import nn

GAIN = 1.2  # times as fast, at least: less is within what such a measurement varies by
_ROUNDS = 8  # of which the fastest counts: others are disturbed by what else runs
_WIDTHS, _ROWS = (384, 1536), 512  # of a feed-forward layer of the small text encoder, on a batch of it


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """Within it, the heavy operators of a network on `device` take the numbers that are fastest there."""
    context: AbstractContextManager[None] = torch.autocast(
        device.type, torch.bfloat16, enabled=precision(device.type) == torch.bfloat16
    )
    return context


@functools.cache
def precision(device: str) -> torch.dtype:
    """What a device of this type ("cpu", "cuda") is trained in."""
    return torch.bfloat16 if speedup(device) >= GAIN else torch.float32


def in_words(device: str) -> str:
    """What is chosen, and why, in one line."""
    name = str(precision(device)).removeprefix("torch.")
    return f"in {name} on {device}: a step in bfloat16 is {speedup(device):.1f} times as fast as in float32"


@functools.cache
def speedup(device: str) -> float:
    """How many times as fast a step of a layer is in bfloat16. Draws no random numbers."""
    narrow, wide = _WIDTHS
    with torch.random.fork_rng(devices=[]):
        layer = nn.Sequential(nn.Linear(narrow, wide), nn.GELU(), nn.Linear(wide, narrow)).to(device)
    batch = torch.ones(_ROWS, narrow, device=device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _step_s(layer, batch, torch.float32) / _step_s(layer, batch, torch.bfloat16)
    finally:
        torch.set_num_threads(threads)


def _step_s(layer: nn.Module, batch: torch.Tensor, dtype: torch.dtype) -> float:
    """The least time of a forward and a backward step, in s. Reading the gradient waits for the device."""
    least_s = float("inf")
    for _ in range(_ROUNDS):
        begun_s = time.perf_counter()
        with torch.autocast(batch.device.type, torch.bfloat16, enabled=dtype == torch.bfloat16):
            outputs = layer(batch)
        outputs.float().square().mean().backward()
        float(next(layer.parameters()).grad.sum())  # type: ignore[union-attr]
        least_s = min(least_s, time.perf_counter() - begun_s)
    return least_s

"""The recogniser's process: it answers, dies in one line, and ends with whoever asked."""

import gc

import numpy as np
import pytest

from erc_live.live.asr.sphinx import Sphinx
from erc_live.live.errors import EngineError

pytest.importorskip("pocketsphinx")
NOISE = np.random.default_rng(0).normal(0.0, 3000.0, 16_000).astype(np.int16)


def test_frames_lie_within_the_samples():
    heard = Sphinx().recognise(NOISE)
    assert heard
    assert all(0 <= part.first <= part.last <= 100 for part in heard)


def test_a_process_that_died_is_an_error_and_not_silence():
    sphinx = Sphinx()
    sphinx._process.kill()
    with pytest.raises(EngineError, match="pocketsphinx died"):
        sphinx.recognise(NOISE)


def test_the_process_ends_with_whoever_asked():
    sphinx = Sphinx()
    process = sphinx._process
    del sphinx
    gc.collect()
    assert process.returncode == 0

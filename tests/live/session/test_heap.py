"""Free memory goes back to the system."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import psutil
from erc_live.live.session import heap
heap.EVERY_S = 0.0
keeper = heap.Heap()
holes = [bytearray(100_000) for _ in range(2000)]
kept = holes[::50]  # which hold the heap open at its end
del holes
before = psutil.Process().memory_info().rss
keeper.trim()
print(before - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc")
def test_holes_are_returned():
    environment = dict(os.environ, MALLOC_MMAP_THRESHOLD_="1000000000", MALLOC_TRIM_THRESHOLD_="1000000000")
    program = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment, check=True
    )
    assert int(program.stdout) > 100_000_000

"""Ctrl-C at any instant of the start is quiet."""

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")

# Presses Ctrl-C when the Nth module is imported.
INTERRUPTED = """
import os, signal, sys
class Presser:
    left = int(os.environ["PRESS_AT"])
    def find_spec(self, name, path=None, target=None):
        Presser.left -= 1
        if Presser.left == 0:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Presser())
from erc_live.live.entry import main
main()
"""


@pytest.mark.parametrize("number", [2, 20, 150])
@pytest.mark.parametrize("arguments", [("demo",), ("devices",)])
def test_it_ends_without_a_word(number, arguments, tmp_path):
    program = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *arguments],
        env=dict(os.environ, PRESS_AT=str(number + 3), XDG_STATE_HOME=str(tmp_path)),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "Traceback" not in program.stderr
    assert program.returncode in (130, 0)

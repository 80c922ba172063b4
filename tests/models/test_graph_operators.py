"""A process that builds a network leaves no file behind it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

BUILD = """
import torch
from erc_live.models.networks.dialogue_graph import DialogueGraph, DialogueGraphConfig
from erc_live.models.networks.hgf_milag import HgfMilag, HgfMilagConfig
DialogueGraph(DialogueGraphConfig(width=16, heads=2))
HgfMilag(HgfMilagConfig())
"""


@pytest.mark.parametrize("bytecode", ["", "1"])
def test_building_networks_leaves_no_file_in_the_temporary_folder(bytecode: str, tmp_path: Path) -> None:
    places = {"TMPDIR": str(tmp_path), "TEMP": str(tmp_path), "PYTHONDONTWRITEBYTECODE": bytecode}
    subprocess.run([sys.executable, "-c", BUILD], check=True, env=os.environ | places, timeout=200)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []

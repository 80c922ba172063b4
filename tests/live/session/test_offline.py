"""Where nothing was fetched, nothing is asked of the network: engines load from what is shipped, or say what to fetch.

In processes of their own, without the setting that keeps the hub's client offline in all other tests. An attempt counts
even where it is caught.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

_WATCHED = """
import sys
asked = []
sys.addaudithook(lambda event, args: event in ("socket.connect", "socket.getaddrinfo") and asked.append((event, args)))
from pathlib import Path
from erc_live.live import config
loaded = config.load(sets=sys.argv[1:]).config
{body}
assert not asked, asked
"""
_LOAD = """
from erc_live.live.session.engines import load_engines
print(load_engines(loaded).transcriber.name)
"""
_REFUSED = """
from erc_live.live.asr.transcribers import open_transcriber
from erc_live.live.errors import EngineError
from erc_live.live.session.weight_cache import models_folder
try:
    open_transcriber(loaded.transcriber, models_folder(loaded.models))
except EngineError as error:
    print(error)
"""
_COMMANDS = """
from typer.testing import CliRunner
from erc_live.live.cli import app
for command in ("list", "verify"):
    done = CliRunner().invoke(app, ["models", command, "--set", f"models.folder={loaded.models.folder}"])
    assert done.exit_code == 0, done.output
    print(done.output)
"""


def watched(body: str, home: Path, *sets: str) -> str:
    """What a process prints that may not ask the network, on a machine where nothing was fetched."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    environment |= {"HOME": str(home), "HF_HOME": str(home / "hub"), "XDG_CONFIG_HOME": str(home / "config")}
    command = [sys.executable, "-c", _WATCHED.format(body=body), f"models.folder={home / 'models'}", *sets]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_engines_load_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("pocketsphinx")
    assert watched(_LOAD, tmp_path).strip() == "pocketsphinx en-us"


def test_a_recogniser_that_is_not_here_is_named_with_its_command_without_a_network(tmp_path: Path) -> None:
    said = watched(_REFUSED, tmp_path, "transcriber.engine=faster-whisper", "transcriber.model=base.en")
    assert said == "the speech recogniser 'base.en' is not on this disk: erc-live models fetch base.en\n"


def test_the_list_of_models_needs_no_network(tmp_path: Path) -> None:
    said = watched(_COMMANDS, tmp_path)
    assert "base.en" in said
    assert "yes" not in said

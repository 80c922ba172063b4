"""Fixtures of the tests of `live`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_whisper
import tiny_world as tiny_world_module
import virtual_room as rooms


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a complete faster-whisper model with random weights."""
    pytest.importorskip("transformers")
    return tiny_whisper.build(tmp_path_factory.mktemp("whisper"))


@pytest.fixture
def virtual_room() -> Iterator[rooms.VirtualRoom]:
    """A room with a loudspeaker and a microphone, for tests marked `device`."""
    if absent := rooms.missing():
        pytest.skip(f"needs {', '.join(absent)}: apt-get install {rooms.PACKAGES}")
    with rooms.VirtualRoom() as room:
        yield room


@pytest.fixture(scope="session")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Configuration keys for weights that are tiny and random."""
    folder = tmp_path_factory.mktemp("world")
    return tiny_world_module.make_tiny_world(folder)

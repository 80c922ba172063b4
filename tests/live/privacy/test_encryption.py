"""What is encrypted can be read with its key and under its name, and in no other way."""

from pathlib import Path

import platformdirs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.errors import ConfigError
from erc_live.live.privacy import encryption
from erc_live.live.privacy.encryption import decrypted, encrypted, key_file


@pytest.fixture(autouse=True, scope="module")
def own_key(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("config")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(platformdirs, "user_config_path", lambda *_: folder)
        yield


@given(st.binary(max_size=200), st.text(max_size=20, alphabet=st.characters(codec="utf-8")))
def test_it_comes_back(data: bytes, name: str) -> None:
    once, again = encrypted(data, name), encrypted(data, name)
    assert decrypted(once, name) == decrypted(again, name) == data
    assert once != again
    assert len(data) < 8 or data not in once


@given(st.integers(0, 39), st.integers(1, 255))
def test_any_damage_and_any_other_name_is_noticed(place: int, change: int) -> None:
    data = bytearray(encrypted(b"a vector....", "Ann.voice"))
    with pytest.raises(ValueError, match="damaged"):
        decrypted(bytes(data), "Ben.voice")
    data[place] ^= change
    with pytest.raises(ValueError, match="damaged"):
        decrypted(bytes(data), "Ann.voice")
    with pytest.raises(ValueError, match="damaged"):
        decrypted(bytes(data[:5]), "Ann.voice")


def test_the_key_is_its_owner_s_alone_and_never_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platformdirs, "user_config_path", lambda *_: tmp_path / "new")
    with pytest.raises(ValueError, match="is gone"):
        decrypted(b"x" * 40, "n")
    assert not key_file().exists(), "who only reads makes no key"
    first = encrypted(b"x", "n")
    key = key_file().read_bytes()
    assert key_file().stat().st_mode & 0o777 == 0o600
    encrypted(b"y", "n")
    assert key_file().read_bytes() == key
    with pytest.raises(FileExistsError):
        encryption._new_key()
    assert decrypted(first, "n") == b"x"
    key_file().write_bytes(b"short")
    with pytest.raises(ConfigError, match="is no key"):
        decrypted(first, "n")

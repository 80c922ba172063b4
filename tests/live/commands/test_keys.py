"""`erc-live keys`: what is printed is public, what is wrong is one line."""

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from erc_live.live.commands.keys import keys_app
from erc_live.live.errors import ConfigError
from erc_live.streams.curve_keys import KeyFolder, KeyPair
from erc_live.streams.errors import AddressError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_config_path", lambda name: tmp_path / name)
    return tmp_path


def call(*words: str) -> str:
    result = CliRunner().invoke(keys_app, words)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == 0
    return result.output


def test_a_key_is_made_shown_allowed_and_revoked(home: Path) -> None:
    public = call("new").strip()
    assert public.strip("'") == KeyFolder().own().public
    friend = KeyPair.new().public
    call("allow", "Ann", friend)
    listed = call("list").splitlines()
    assert listed == [f"{public}  this user", f"'{friend}'  Ann", f"folder: {home / 'erc-live' / 'keys'}"]
    call("revoke", "Ann")
    assert "Ann" not in call("list")
    assert KeyFolder().own().secret not in call("list")


def test_a_key_is_not_replaced_by_accident() -> None:
    first = call("new")
    with pytest.raises(ConfigError, match="--replace"):
        call("new")
    assert call("new", "--replace") != first


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("allow", "Ann", "1234"), "no public key"),
        (("revoke", "Ann"), "erc-live keys list"),
        (("allow", "", "x"), "no"),
    ],
)
def test_what_is_wrong_is_one_line(words: tuple[str, ...], says: str) -> None:
    with pytest.raises(AddressError, match=says) as caught:
        call(*words)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="modes of files")
def test_what_is_kept_is_its_owner_s_alone(home: Path) -> None:
    umask = os.umask(0)
    try:
        call("new")
        call("allow", "Ann", KeyPair.new().public)
    finally:
        os.umask(umask)
    folder = home / "erc-live" / "keys"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}

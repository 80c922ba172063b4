"""The keys of CURVE of this user: one pair, which this user publishes and subscribes with, and those of others.

The rule of this file: a secret is readable by its owner alone, or it is not used; and whoever is not written down in
`allowed` may not read. A pair is made at first use; a program of this user needs to be told of none.
"""

import contextlib
import os
import string
import sys
import uuid
from pathlib import Path
from typing import NamedTuple

import platformdirs
import zmq

from erc_live.streams.errors import AddressError
from erc_live.streams.journal import write_whole

KEY_CHARACTERS = 40  # Z85 of 32 bytes
_Z85 = frozenset(string.digits + string.ascii_letters + ".-:+=^!/*?&<>()[]{}@%$#")
_SECRET = "own.key"
_ALLOWED = "allowed"


class KeyPair(NamedTuple):
    """Z85, as ZeroMQ takes it."""

    public: str
    secret: str

    @classmethod
    def new(cls) -> "KeyPair":
        """A pair that nobody had before. Raises AddressError where ZeroMQ was built without CURVE."""
        try:
            public = secret = b"-"
            while public.startswith(b"-"):  # on a command line that is an option
                public, secret = zmq.curve_keypair()
        except zmq.ZMQError as error:
            raise AddressError(
                "this build of ZeroMQ has no CURVE, so there are no keys; install the pyzmq wheel"
            ) from error
        return cls(public.decode(), secret.decode())


class KeyFolder:
    """The keys in a folder; without one, in the configuration folder of the user. All methods raise AddressError."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or platformdirs.user_config_path("erc-live") / "keys"

    @property
    def exists(self) -> bool:
        """Whether this user has a pair."""
        return (self.folder / _SECRET).exists()

    def own(self) -> KeyPair:
        """The pair of this user, made where there is none."""
        path = self.folder / _SECRET
        if not path.exists():
            self._keep(KeyPair.new())
        try:
            secret = path.read_text(encoding="ascii").strip()
            mode = path.stat().st_mode
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"{path}: not readable as a key: {error}; move it away and make another") from error
        if sys.platform != "win32" and mode & 0o077:
            raise AddressError(f"{path}: others may read this secret key; chmod 600 it, or better make another")
        with contextlib.suppress(zmq.ZMQError, ValueError):
            if is_key(secret):
                return KeyPair(zmq.curve_public(secret.encode()).decode(), secret)
        raise AddressError(f"{path}: is not a key; move it away and make another with `erc-live keys new`")

    def renew(self) -> KeyPair:
        """Another pair: the one before is forgotten, and who allowed it has to be told."""
        pair = KeyPair.new()
        self._make_folder()
        try:
            write_whole(self.folder / _SECRET, pair.secret.encode() + b"\n")
        except OSError as error:
            raise AddressError(f"{self.folder}: cannot keep a key there: {error.strerror}") from error
        return pair

    def allowed(self) -> dict[str, str]:
        """Name -> public key of those who may read, beside this user."""
        path = self.folder / _ALLOWED
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise AddressError(f"{path}: not readable: {error}") from error
        entries = [line.split(maxsplit=1) for line in lines if line.strip()]
        if wrong := [entry[0] for entry in entries if len(entry) != 2 or not is_key(entry[0])]:
            raise AddressError(f"{path}: {wrong[0]} is no line KEY NAME; take it out")
        return {name: key for key, name in entries}

    def allow(self, name: str, public: str) -> None:
        """Let who has the secret of `public` read; a key that this name had before counts no more."""
        if not is_key(public):
            raise AddressError(f"{public!r} is no public key: it has {KEY_CHARACTERS} characters; ask for it again")
        if not name.isprintable() or name.strip() != name or not name:
            raise AddressError(f"{name!r} is no name: write one that can be printed")
        self._write(self.allowed() | {name: public})

    def revoke(self, name: str) -> None:
        """From now on this name may not read."""
        allowed = self.allowed()
        if name not in allowed:
            raise AddressError(f"nobody called {name!r} is allowed; `erc-live keys list` has the names")
        self._write({other: key for other, key in allowed.items() if other != name})

    def changed_ns(self) -> int:
        """When somebody was allowed or revoked last; 0: never."""
        try:
            return (self.folder / _ALLOWED).stat().st_mtime_ns
        except OSError:
            return 0

    def _write(self, allowed: dict[str, str]) -> None:
        self._make_folder()
        text = "".join(f"{key} {name}\n" for name, key in sorted(allowed.items()))
        try:
            write_whole(self.folder / _ALLOWED, text.encode())
        except OSError as error:
            raise AddressError(f"{self.folder}: cannot keep keys there: {error.strerror}") from error

    def _keep(self, pair: KeyPair) -> None:
        """As the pair of this user, unless another process made one in the meantime: then that counts."""
        self._make_folder()
        fresh = self.folder / f"{_SECRET}.{uuid.uuid4().hex}"
        try:
            write_whole(fresh, pair.secret.encode() + b"\n")
            with contextlib.suppress(FileExistsError):
                os.link(fresh, self.folder / _SECRET)  # unlike a rename, this replaces nothing
            fresh.unlink()
        except OSError as error:
            raise AddressError(f"{self.folder}: cannot keep a key there: {error.strerror}") from error

    def _make_folder(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise AddressError(f"{self.folder}: cannot keep keys there: {error.strerror}") from error


def is_key(text: str) -> bool:
    """Whether this may be a key in Z85."""
    return len(text) == KEY_CHARACTERS and set(text) <= _Z85

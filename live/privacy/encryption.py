"""Encryption at rest of what must not lie about in the clear: AES-256-GCM with a key of the user's own.

The key is a file that only its owner can read, in the configuration folder, apart from the data folder. So a copy of
the data alone (a backup, a synchronised folder, a disk that is passed on) is of no use to anybody. Who can read both
folders, as the user and the administrator can, can read the data: against them this is no protection.

The rule of this file: what is encrypted is bound to the name under which it lies, so that nothing can be passed off as
something else.
"""

import os
import secrets
from pathlib import Path

import platformdirs
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from erc_live.live.errors import ConfigError

KEY_BYTES = 32
NONCE_BYTES = 12  # 96 bits, as NIST SP 800-38D asks for; random, so at most 2^32 files of one key


def key_file() -> Path:
    """Where the key lies."""
    return platformdirs.user_config_path("erc-live") / "voices.key"


def encrypted(data: bytes, name: str) -> bytes:
    """The data as they may lie on the disk under `name`. The first time, a key is made."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    return nonce + AESGCM(_key() or _new_key()).encrypt(nonce, data, name.encode())


def decrypted(data: bytes, name: str) -> bytes:
    """The data again. Raises ValueError where they are damaged, of another key, or not of this name."""
    key = _key()
    if key is None:
        raise ValueError(f"its key {key_file()} is gone")
    try:
        return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], name.encode())
    except (InvalidTag, ValueError) as error:
        raise ValueError(f"it is damaged, or encrypted with another key than {key_file()}") from error


def _key() -> bytes | None:
    try:
        key = key_file().read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{key_file()}: the key of the voice prints cannot be read ({error.strerror})") from error
    if len(key) != KEY_BYTES:
        raise ConfigError(f"{key_file()} is no key: copy it from where you keep it, or delete it and enrol anew")
    return key


def _new_key() -> bytes:
    path, key = key_file(), secrets.token_bytes(KEY_BYTES)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(key)
        file.flush()
        os.fsync(file.fileno())
    return key

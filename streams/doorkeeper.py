"""Who may come in at an encrypted socket: by the public key of who asks (ZeroMQ's CURVE, its RFC 27).

The rule of this file: a key that is not known never gets as far as a message, and a turn takes a bounded time.
"""

import contextlib
import logging

import zmq
from zmq.utils import z85

from erc_live.streams.curve_keys import KeyFolder
from erc_live.streams.errors import AddressError

_ZAP = "inproc://zeromq.zap.01"  # where libzmq asks who may come in (its RFC 27)
_TURN = 64  # peers answered in one turn
_NAMED = 100  # refused keys that are logged; more is a flood

log = logging.getLogger(__name__)


class Doorkeeper:
    """Answers ZeroMQ whether the key of a peer is known: that of this user (`own_only`), or one that is allowed.

    Call `answer` often: peers wait for it.
    """

    def __init__(self, guarded: zmq.Socket[bytes], keys: KeyFolder, *, own_only: bool = False) -> None:
        self._keys, self._own, self._own_only = keys, keys.own(), own_only
        self._changed_ns = keys.changed_ns()
        self._named: set[str] = set()
        self._socket = guarded.context.socket(zmq.REP)
        self._socket.bind(_ZAP)
        guarded.set(zmq.CURVE_SERVER, 1)
        guarded.set(zmq.CURVE_SECRETKEY, self._own.secret.encode())
        guarded.set_string(zmq.ZAP_DOMAIN, "erc-live")

    def answer(self) -> None:
        """Let in who waits, or not; a flood waits for the next call."""
        with contextlib.suppress(zmq.Again):
            for _ in range(_TURN):
                version, number, _, _, _, _, key = self._socket.recv_multipart(zmq.NOBLOCK)  # CURVE: one credential
                verdict = [b"200", b"known"] if self._is_known(z85.encode(key).decode()) else [b"400", b"unknown key"]
                self._socket.send_multipart([version, number, *verdict, b"", b""])

    def changed(self) -> bool:
        """Whether somebody was allowed or revoked since the last call."""
        before, self._changed_ns = self._changed_ns, self._keys.changed_ns()
        return before != self._changed_ns

    def close(self) -> None:
        self._socket.close(linger=0)

    def _is_known(self, public: str) -> bool:
        if public == self._own.public:
            return True
        try:
            if not self._own_only and public in self._keys.allowed().values():
                return True
        except AddressError as error:  # somebody damaged the file while a session runs
            log.warning("%s", error)
            return False
        if public not in self._named and len(self._named) < _NAMED:
            self._named.add(public)
            log.warning(
                "refused a peer with the unknown key %s; a reader is let in by: erc-live keys allow NAME '%s'",
                public,
                public,
            )
        return False

"""Markers of other programs, from the Lab Streaming Layer into a session: each becomes a mark with a note.

An experiment that sends markers (a stimulus begins, a key is pressed) so has them in the recording and on every screen,
at the time at which they happened: the stamp of LSL, corrected by what LSL knows of the sender's clock. The session
must take requests (`control.enabled`). The rule of this file: a marker that the session does not take is told.
"""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from erc_live.live.bridges.bridge import Say
from erc_live.live.bridges.lsl import LslBridge, library
from erc_live.streams.annotations import NOTE_LENGTH
from erc_live.streams.control_channel import ControlReply, MarkRequest
from erc_live.streams.errors import AddressError

LOOK_S = 0.2  # how often it looks up from waiting
CORRECTION_S = 2.0  # in which the clock of a sender is known; without a limit, one that has gone is waited for
Ask = Callable[[MarkRequest], ControlReply]


class MarkerInlet:
    """Reads the stream called `name` in a thread while it is entered, once `bridge` knows the clock of the session.

    `ask`: gives a request to the session, and returns its answer or raises AddressError.
    """

    def __init__(self, name: str, bridge: LslBridge, ask: Ask, say: Say) -> None:
        """Raises EngineError without pylsl or liblsl."""
        self._lsl = library()
        self._name, self._bridge, self._ask, self._say = name, bridge, ask, say
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        found = self._wait_for_stream()
        if found is None:
            return
        inlet = self._lsl.StreamInlet(found)
        self._say(f"lsl: markers of {self._name!r} become marks of the session")
        while not self._over.is_set():
            try:
                sample, stamp_s = inlet.pull_sample(timeout=LOOK_S)
                if sample is not None:
                    self._mark(" ".join(map(str, sample)), stamp_s + inlet.time_correction(CORRECTION_S))
            except RuntimeError as error:  # of pylsl: the sender has gone before its clock was known
                self._say(f"lsl: a marker of {self._name!r} was not taken: {error}")

    def _wait_for_stream(self) -> Any:
        resolver = self._lsl.ContinuousResolver("name", self._name)
        while not self._over.wait(LOOK_S):
            streams = resolver.results()
            if streams and self._bridge.greeted:
                return streams[0]
        return None

    def _mark(self, text: str, lsl_s: float) -> None:
        if len(text) > NOTE_LENGTH:
            self._say(f"lsl: a marker of {len(text)} letters is cut after {NOTE_LENGTH}, the most that a mark holds")
        request = MarkRequest(
            text=text[:NOTE_LENGTH], t_ns=self._bridge.session_ns(lsl_s), author=f"lsl {self._name}"[:NOTE_LENGTH]
        )
        try:
            reply = self._ask(request)
        except AddressError as error:
            self._say(f"lsl: the marker {text!r} was not taken: {error}")
            return
        if not reply.ok:
            self._say(f"lsl: the marker {text!r} was not taken: {reply.error}")

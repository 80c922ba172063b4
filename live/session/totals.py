"""What a session has done and what it lost, counted from what its processes say: pure.

The supervisor counts while the session runs, replay in one process at its end: so both end with the same `SessionEnd`.
"""

from collections.abc import Collection

from erc_live.streams.messages import EmotionEvent, Gap, SessionEnd, WorkerLost


class SessionTotals:
    """`take` what is public; `end` is the last message of the session. `microphones`: whose gaps are added up."""

    def __init__(self, session: str, microphones: Collection[str]) -> None:
        self.utterances = 0  # classified, for good
        self.lost = 0
        self.lost_by_deaths = 0  # of them, with processes that died
        self._session = session
        self.microphones = microphones
        self._deaths = 0
        self._skipped = 0
        self._gaps = 0
        self._gaps_ns = 0

    def take(self, message: object) -> None:
        """A message of the stream. An utterance that is said again, after a correction, counts once."""
        match message:
            case EmotionEvent(final=True) if message.index >= self.utterances:
                self.utterances = message.index + 1
                self._skipped += message.skipped
            case Gap() if message.cause not in ("paused", "forgotten"):  # as people wanted
                self._gaps += 1
                self.lost += message.lost if message.cause == "overload" else 0
                if message.source in self.microphones:
                    self._gaps_ns += message.t_end_ns - message.t_start_ns
            case WorkerLost():
                self._deaths += 1
                self.lost += message.lost
                self.lost_by_deaths += message.lost

    def end(self, t_ns: int, reason: str, note: str = "") -> SessionEnd:
        """`note`: what people should know of the session."""
        return SessionEnd(
            session=self._session,
            t_ns=t_ns,
            utterances=self.utterances,
            reason=reason,
            lost=self.lost,
            deaths=self._deaths,
            skipped=self._skipped,
            gaps=self._gaps,
            gaps_ns=self._gaps_ns,
            note=note,
        )

    @property
    def losses(self) -> str:
        """What was lost, in words; "" where nothing was."""
        parts = []
        if self.lost:
            parts.append("1 utterance was lost" if self.lost == 1 else f"{self.lost} utterances were lost")
        if self._gaps_ns:
            parts.append(f"{self._gaps_ns / 1e9:.1f} s of sound were lost")
        return ", ".join(parts)

"""The cores composed in one process, without sockets: replay at maximum speed, and most of the tests.

The workers compose the very same cores with a bus in between, so what is true here of words, labels and order is
true live. Time is the media's own: stamps are media times, and a run gives the same events every time. Nobody waits
here, so nothing is guessed and nothing is provisional.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from erc_live.live.alerts.alert_rules import AlertRules
from erc_live.live.capture.sound_check import SoundCheck
from erc_live.live.capture.source import recorded_messages
from erc_live.live.privacy.notice import introduced
from erc_live.live.session.analyser import Engines
from erc_live.live.session.engines import closing_note, front_end
from erc_live.live.session.spec import SessionSpec
from erc_live.live.session.totals import SessionTotals
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams.annotations import Alert
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import (
    EmotionEvent,
    Gap,
    Hello,
    Overload,
    Relabel,
    SessionEnd,
    SourceEnd,
    UtteranceFeatures,
    VideoFrame,
)
from erc_live.streams.replay import Replayed, bundle_messages, due_ns, in_time_order

Produced = Hello | UtteranceFeatures | EmotionEvent | Gap | Relabel | Overload | Alert | SessionEnd


def recorded(session: SessionSpec, sounds: Mapping[str, SoundCheck] | None = None) -> Iterator[Replayed]:
    """Everything that the recordings of a session hold, in the order of time, from time 0. `sounds`: by source, what
    listens to how good the sound of a file is.
    """
    first = session.sources[0]
    if first.medium == "bundle":  # with the gaps that it knows of
        messages = bundle_messages(Path(first.target), start_ns=0)
        return (m for m in messages if not (session.config.session.text_only and isinstance(m, VideoFrame)))
    config = session.config.capture
    heard = sounds or {}
    return in_time_order([recorded_messages(s, config, 0, sound=heard.get(s.name)) for s in session.sources])


class InProcess:
    """`run` captured messages through the front end and the tracker. `note`: what people should know afterwards."""

    def __init__(self, session: SessionSpec, engines: Engines, checkpoint: Checkpoint) -> None:
        self.note = ""
        self._session = session
        self._clock = ManualClock()
        self._transcriber = engines.transcriber
        self._front_end = front_end(session, engines, self._clock)
        start, tracker = SessionStart(session.session, t_ns=0, wall_ns=0), session.config.tracker
        self._tracker = Tracker(checkpoint, start, self._clock, tracker.device, tracker.coordinates)
        microphones = [source.name for source in session.sources if source.kind == "mic"]
        self._totals = SessionTotals(session.session, microphones)
        rules = session.config.alerts
        self._alerts = AlertRules(rules, session.session, microphones) if rules else None

    def run(self, messages: Iterable[Replayed]) -> Iterator[Produced]:
        """Everything that the messages lead to, in order: a hello, features, events, gaps and alerts, the end."""
        produced = self._run(messages)
        return produced if self._alerts is None else self._alerted(produced, self._alerts)

    def _alerted(self, messages: Iterator[Produced], alerts: AlertRules) -> Iterator[Produced]:
        """The same, and behind each what the rules of the configuration make of it."""
        for produced in messages:
            yield from alerts.finish() if isinstance(produced, SessionEnd) else ()
            yield produced
            yield from alerts.take(produced)

    def _run(self, messages: Iterable[Replayed]) -> Iterator[Produced]:
        visual = any(source.kind == "camera" for source in self._session.sources)
        recorded = self._session.record is not None
        yield introduced(self._tracker.hello(), self._session.config.session, recorded, visual)
        for message in messages:
            self._clock.sleep_until(due_ns(message))
            if isinstance(message, Gap):
                self._totals.take(message)
                yield message
            if self._alerts is not None and isinstance(message, SourceEnd):
                self._alerts.take(message)
            self._front_end.feed(message)
            for result in self._front_end.poll(self._clock.now_ns()):
                yield result
                if isinstance(result, UtteranceFeatures):
                    event = self._tracker.observe(result)
                    yield event
                    self._totals.take(event)
                elif isinstance(result, Relabel):
                    self._tracker.go_back(result)
            if self._alerts is not None:
                yield from self._alerts.advance(self._front_end.since_ns)
        self.note = closing_note(self._front_end.account, self._transcriber)
        yield self._totals.end(self._clock.now_ns(), "end of media", self.note)

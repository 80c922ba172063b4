"""The cores composed in one process, without sockets: replay at maximum speed, and most of the tests.

The workers compose the very same cores with a bus in between, so what is true here of words, labels and order is
true live. Time is the media's own: stamps are media times, and a run gives the same events every time. Nobody waits
here, so nothing is guessed and nothing is provisional.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from erc_live.live.capture.sound_check import SoundCheck
from erc_live.live.capture.source import recorded_messages
from erc_live.live.session.analyser import Analyser
from erc_live.live.session.engines import Engines, build_account, build_conversation, build_perception, closing_note
from erc_live.live.session.spec import Session
from erc_live.live.tracking.tracker import SessionStart, Tracker
from erc_live.models.checkpoint import Checkpoint
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import EmotionEvent, Gap, Hello, Relabel, SessionEnd, UtteranceFeatures
from erc_live.streams.replay import Replayed, bundle_messages, due_ns, in_time_order

Produced = Hello | UtteranceFeatures | EmotionEvent | Gap | Relabel | SessionEnd


def recorded(session: Session, sounds: Mapping[str, SoundCheck] | None = None) -> Iterator[Replayed]:
    """Everything that the recordings of a session hold, in the order of time, from time 0. `sounds`: by source, what
    listens to how good the sound of a file is.
    """
    first = session.sources[0]
    if first.medium == "bundle":  # with the gaps that it knows of
        return bundle_messages(Path(first.target), start_ns=0)
    config = session.config.capture
    heard = sounds or {}
    return in_time_order([recorded_messages(s, config, 0, sound=heard.get(s.name)) for s in session.sources])


class Pipeline:
    """`run` captured messages through perception, analysis and tracker. `note`: what people should know afterwards."""

    def __init__(self, session: Session, engines: Engines, checkpoint: Checkpoint) -> None:
        self.note = ""
        self._clock = ManualClock()
        self._perception = build_perception(session.config, session.sources, start_ns=0)
        self._account = build_account(session.sources, start_ns=0)
        self._transcriber = engines.transcriber
        self._analyse = Analyser(engines, self._clock)
        self._conversation = build_conversation(session.config, engines, self._clock, start_ns=0)
        start = SessionStart(session.session, t_ns=0, wall_ns=0)
        self._tracker = Tracker(checkpoint, start, self._clock, session.config.tracker.device)

    def run(self, messages: Iterable[Replayed]) -> Iterator[Produced]:
        """Everything that the messages lead to, in order: a hello, features, events and gaps, the end."""
        yield self._tracker.hello()
        for message in messages:
            self._clock.sleep_until(due_ns(message))
            if isinstance(message, Gap):
                yield message
            self._account.take(message)
            for request in self._perception.feed(message):
                if request.kind == "final":
                    self._account.ask([request])
                    self._perception.accept(self._analyse(request))
            for analysis in self._perception.poll(self._clock.now_ns()):
                for said in self._conversation.describe(analysis):
                    yield from self._observe(said)
        self.note = closing_note(self._account, self._transcriber)
        yield self._tracker.end("end of media", self.note)

    def _observe(self, said: UtteranceFeatures | Relabel) -> Iterator[UtteranceFeatures | EmotionEvent | Relabel]:
        if isinstance(said, Relabel):
            self._tracker.go_back(said)
            yield said
        else:
            yield said
            yield self._tracker.observe(said)

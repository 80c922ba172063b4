"""`--jsonl` of a live session is the public stream: what several processes tell is told once, and in order."""

import io
import sys
import threading
from contextlib import closing
from types import SimpleNamespace

from examples import event, hello, session_end

from erc_live.live.capture.source_spec import parse_mic
from erc_live.live.config import Config, EventsSection
from erc_live.live.session import workers
from erc_live.live.session.spec import SessionSpec, plan
from erc_live.streams import codec
from erc_live.streams.address import BusAddresses
from erc_live.streams.bus import Publisher
from erc_live.streams.event_stream import EventPublisher
from erc_live.streams.messages import Gap, Overload, Relabel

RELABEL = Relabel(t_ns=1, dialogue="d", moved=("u0",), voice="mic-0#2", speaker_name=None, cause="merge")
OVERLOAD = Overload(t_ns=2, level=1, step="without words", waiting_s=3.0)
GAP = Gap(source="mic-0", t_start_ns=0, t_end_ns=1, lost=1, cause="device")


def test_what_perception_tells_and_the_tracker_passes_on_is_one_line(monkeypatch) -> None:
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    with closing(BusAddresses()) as addresses:
        public = addresses.endpoint("events")
        config = Config(events=EventsSection(endpoint=public))
        session = SessionSpec(session="s", config=config, sources=(parse_mic("default", 0),), jsonl=True)
        every = {spec.worker: spec for spec in plan(session, addresses.endpoint).workers}
        spec = every["screen"]
        shell = SimpleNamespace(spec=spec, control=SimpleNamespace(stopped=lambda: False))
        with (
            closing(Publisher(every["perception"].address)) as perception,
            closing(EventPublisher(public, 10)) as events,
        ):
            screen = threading.Thread(target=workers.screen, args=(shell,), daemon=True)
            screen.start()
            while not events.subscribers("session_end"):
                assert screen.is_alive()
            told = [hello(), event(0), GAP, OVERLOAD, RELABEL, event(1), session_end(2)]
            for message in (GAP, OVERLOAD, RELABEL):
                perception.publish(message)
            for message in told:
                events.publish(message)
            screen.join(200)
    assert [codec.from_json(line.encode()) for line in out.getvalue().splitlines()] == told

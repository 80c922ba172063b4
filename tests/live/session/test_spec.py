"""The plan of a session: everybody listens at places where somebody publishes, and nobody waits for who never comes."""

from pathlib import Path

import pytest

from erc_live.live import cli
from erc_live.live.capture.source_spec import parse_camera, parse_mic
from erc_live.live.config import Config
from erc_live.live.session.spec import ENDINGS, SUBSCRIPTIONS, SessionSpec, plan
from erc_live.streams.topics import BY_NAME

DEMO = Path(cli.__file__).parent / "demo"


@pytest.fixture(params=[(record, jsonl) for record in (None, "talk") for jsonl in (True, False)])
def planned(request):
    record, jsonl = request.param
    sources = (parse_mic("default=Ann", 0), parse_mic(f"{DEMO / 'ben.flac'}=Ben", 1), parse_camera("0", 0))
    session = SessionSpec(session="s", config=Config(), sources=sources, record=record, jsonl=jsonl)
    return session, plan(session, lambda name: f"ipc://{name}")


def test_topics_are_those_of_the_table_of_topics():
    assert {topic for reader in SUBSCRIPTIONS.values() for topic in reader.topics} <= BY_NAME.keys()


def test_whoever_is_listened_to_publishes(planned):
    session, this = planned
    places = {this.supervisor, session.config.events.endpoint, *(worker.address for worker in this.workers)}
    for worker in this.workers:
        assert {*worker.upstream} <= places - {worker.address}
    assert {*this.upstream} == places - {this.supervisor, "ipc://screen"}


def test_a_publisher_waits_for_all_who_listen_and_for_nobody_else(planned):
    session, this = planned
    counted = {topic: count for worker in this.workers for topic, count in worker.consumers.items()}
    recorders = 1 if session.record else 0
    media = {"audio.mic-0": 1, "audio.mic-1": 1, "video.camera-0": 1}  # perception
    expected = media | {"features": 1, "event": 2}  # the tracker; the screen and the supervisor
    assert counted == {topic: count + recorders for topic, count in expected.items()}


def test_what_can_go_on_is_started_again_and_what_is_lost_is_a_failure(planned):
    _, this = planned
    endings = {worker.worker: worker.ending for worker in this.workers}
    assert endings["mic-0"].restarts == endings["camera-0"].restarts == endings["perception"].restarts > 0
    assert endings["mic-1"].restarts == endings["tracker"].restarts == 0  # a file would begin again
    assert [name for name, ending in endings.items() if not ending.required] == ["camera-0"]
    assert endings["tracker"].then == "end session"
    assert ENDINGS.keys() >= {worker.kind for worker in this.workers}

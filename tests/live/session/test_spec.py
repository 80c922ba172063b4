"""The plan of a session: everybody listens at places where somebody publishes, and nobody waits for who never comes."""

from pathlib import Path

import pytest
from msgspec import structs

from erc_live.live import cli
from erc_live.live.capture.source_spec import parse_camera, parse_mic
from erc_live.live.config import Config
from erc_live.live.session.spec import ENDINGS, PUBLIC, SUBSCRIPTIONS, SessionSpec, plan, waits
from erc_live.streams.topics import BY_NAME

DEMO = Path(cli.__file__).parent / "demo"


@pytest.fixture(params=[(record, jsonl) for record in (None, "talk") for jsonl in (True, False)])
def planned(request):
    record, jsonl = request.param
    sources = (parse_mic("default=Ann", 0), parse_mic(f"{DEMO / 'ben.flac'}=Ben", 1), parse_camera("0", 0))
    session = SessionSpec(session="s", config=Config(), sources=sources, record=record, jsonl=jsonl)
    return session, plan(session, lambda name: f"ipc://{name}")


def test_topics_are_those_of_the_table_of_topics():
    assert {topic for reader in SUBSCRIPTIONS.values() for topic in reader.topics} - {PUBLIC} <= BY_NAME.keys()


def test_whoever_is_listened_to_publishes(planned):
    _, this = planned
    places = {this.supervisor, *(worker.address for worker in this.workers)}
    for worker in this.workers:
        assert {*worker.upstream} <= places - {worker.address}


def test_what_is_published_is_kept_for_all_who_need_it_and_for_nobody_else(planned):
    session, this = planned
    readers = {worker.worker: worker.readers for worker in this.workers}
    media = ("recorder", "perception") if session.record else ("perception",)
    assert {tuple(sorted(readers[name])) for name in ("mic-0", "mic-1", "camera-0")} == {tuple(sorted(media))}
    assert readers["perception"] == readers["tracker"] == ("supervisor",)
    for worker in this.workers:
        for reader in worker.readers:
            row = this if reader == "supervisor" else next(w for w in this.workers if w.worker == reader)
            assert row is this or worker.address in row.upstream


def test_only_a_camera_is_not_needed(planned):
    _, this = planned
    assert [worker.worker for worker in this.workers if not worker.ending.required] == ["camera-0"]
    assert ENDINGS.keys() >= {worker.kind for worker in this.workers}


def test_a_recording_waits_for_its_readers_unless_somebody_waits_for_it(planned):
    session, _ = planned
    assert [waits(session, source) for source in session.sources] == [False, True, False]
    assert not any(waits(structs.replace(session, hurry=True), source) for source in session.sources)

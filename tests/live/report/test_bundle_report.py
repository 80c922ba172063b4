"""A recorded session becomes a page: whole, cut off, empty, long, hostile."""

import json
import re
import stat
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest
import recorded_talk as talk

from erc_live.live.report import bundle_report
from erc_live.live.report.bundle_report import PAGE_BYTES, report
from erc_live.streams import forgetting
from erc_live.streams.conversation_view import conversation_view
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import Relabel
from erc_live.streams.session import open_session


class Parts(HTMLParser):
    """The elements of a page, its data and what it points to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text: dict[str, str] = {}
        self._at = ""
        self.feed(page.read_text("utf-8"))
        self.data = json.loads(self.text["data"])
        self.items = self.data["items"]

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "srcset")]
        self._at = dict(attrs).get("id", tag)

    def handle_data(self, data):
        self.text[self._at] = self.text.get(self._at, "") + data


def made(folder: Path, messages, **options) -> Parts:
    talk.record(folder / "talk", messages)
    return reported(folder, **options)


def reported(folder: Path, **options) -> Parts:
    report(folder / "talk", folder / "page.html", **options)
    return Parts(folder / "page.html")


def test_everything_is_in_one_file_that_its_owner_reads(tmp_path):
    page = made(tmp_path, [*talk.sound(), *talk.events()])
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["page.html"]
    assert stat.S_IMODE((tmp_path / "page.html").stat().st_mode) == 0o600
    assert page.data["sound"].startswith("data:audio/webm;base64,")
    assert all(not link or link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://", (tmp_path / "page.html").read_text("utf-8"))
    assert len(page.items["utterances"]) == 6
    assert page.items["head"]["session"]["wall_s"] == talk.WALL_NS / 1e9
    assert page.items["utterances"]["d/u0"]["t0"] == 1.0
    assert {note["kind"] for note in page.items["notes"].values()} == {"mark", "name", "alert", "change", "loss"}


def test_what_people_say_is_data_and_never_markup(tmp_path):
    clean = made(tmp_path / "a", talk.events()[:1])
    hostile = made(tmp_path / "b", talk.events())
    assert hostile.tags == clean.tags
    assert hostile.items["utterances"]["d/u2"]["text"] == f"{talk.HOSTILE} ok"
    assert hostile.items["utterances"]["d/u3"]["label"] == talk.OWN_LABEL


def test_the_page_says_what_exports_say(tmp_path):
    """Annotations in the order in which they were made, a correction that a crash cut short, no provisional event."""
    later = msgspec.structs.replace(talk.annotation("label", 9, utterance="u1", label="fear"), wall_ns=talk.WALL_NS + 9)
    moved = [Relabel(t_ns=9, dialogue="d", moved=("u0",), voice="v", speaker_name=talk.NAMES[1], cause="correction")]
    going_on = talk.said(7, 20.0, final=False)
    messages = [later, *talk.events()[:-1], going_on, *moved]
    page = made(tmp_path, messages)
    view = conversation_view(open_session(tmp_path / "talk"))
    rows = page.items["utterances"]
    assert [row["speaker"] for row in rows.values()] == [f"d/{each.event.speaker}" for each in view.utterances]
    assert rows["d/u0"]["speaker"] == "d/1"
    assert [row["t0"] for row in rows.values()] == [
        round((each.event.t_start_ns - view.start_ns) / talk.S, 3) for each in view.utterances
    ]
    assert rows["d/u1"]["people"] == [["Ann", "fear"]]
    assert view.utterances[1].label_annotated == "fear"
    assert report(tmp_path / "talk", tmp_path / "page.html").utterances == len(rows) == len(view.utterances)


def test_no_sound_is_said_and_the_rest_is_there(tmp_path):
    page = made(tmp_path, talk.events())
    assert page.data["sound"] == ""
    assert page.items["sound"]["all"] == {"present": False, "text": "No sound was recorded."}
    talk.record(tmp_path / "b/talk", [*talk.sound(), talk.greeting()])
    assert "left out" in reported(tmp_path / "b", with_sound=False).items["sound"]["all"]["text"]


def test_a_bundle_that_was_cut_off_says_so_and_gives_what_was_synced(tmp_path):
    recorder = talk.begin(tmp_path / "talk")
    for message in [*talk.sound(), *talk.events()[:6]]:
        recorder.write(message)
    talk.cut_off(recorder)
    with (tmp_path / "talk/events.jsonl").open("ab") as log:
        log.write(b'{"type":"EmotionEvent","dialo')
    first = next((tmp_path / "talk/audio").glob("mic-0-*"))
    first.rename(first.with_name(first.name + ".part"))
    page = reported(tmp_path)
    lacks = [row["text"] for row in page.items["lacks"].values()]
    assert "cut off" in lacks[0]
    assert any(first.name in line for line in lacks)
    assert len(page.items["utterances"]) == 4
    assert page.items["status"]["now"]["phase"] == "cut off"
    assert "recording" not in page.items["status"]["now"]  # it was, and is not any more
    assert f"missing: {lacks[0]}" in report(tmp_path / "talk", tmp_path / "page.html").lines
    assert page.data["sound"]


def test_a_session_that_goes_on_is_reported_as_far_as_it_is(tmp_path):
    with talk.begin(tmp_path / "talk") as recorder:
        for message in talk.events()[:4]:
            recorder.write(message)
        page = reported(tmp_path)
    assert "still being recorded" in page.items["lacks"]["0"]["text"]


def test_a_session_without_anything_gives_a_page_that_says_so(tmp_path):
    talk.record(tmp_path / "talk", [])
    written = report(tmp_path / "talk", tmp_path / "page.html")
    assert written.utterances == 0
    assert "no utterance" in written.lines[0]
    assert Parts(tmp_path / "page.html").items["head"]["session"]["session"] == "talk"


def test_another_schema_is_refused_in_one_line(tmp_path):
    talk.record(tmp_path / "talk", talk.events())
    manifest = tmp_path / "talk/session.json"
    manifest.write_text(manifest.read_text().replace("erc.session/1", "erc.session/9"))
    with pytest.raises(SessionError, match=r"schema erc\.session/9; this version reads"):
        reported(tmp_path)


def test_an_event_of_an_earlier_version_is_read(tmp_path):
    talk.record(tmp_path / "talk", talk.events())
    log = tmp_path / "talk/events.jsonl"
    old = re.sub(r'"engine":\{"name":"([^"]*)"[^}]*\}', r'"engine":"\1"', log.read_text("utf-8"))
    log.write_text(old.replace("erc.event/2", "erc.event/1"), "utf-8")
    assert len(reported(tmp_path).items["utterances"]) == 6


def test_a_person_who_was_forgotten_is_not_on_the_page(tmp_path):
    talk.record(tmp_path / "talk", [*talk.sound(), *talk.events()])
    forgetting.forget(tmp_path / "talk", talk.NAMES[1])
    page = reported(tmp_path)
    assert talk.NAMES[1] not in (tmp_path / "page.html").read_text("utf-8")
    assert "d/1" not in page.items["speakers"]
    assert any(band["cause"] == "forgotten" for band in page.items["bands"].values())


def test_an_hour_of_talk_is_below_three_megabytes(tmp_path):
    page = made(tmp_path, talk.long_talk(60))
    assert len(page.items["utterances"]) == 1028
    assert (tmp_path / "page.html").stat().st_size < PAGE_BYTES / 3


def test_sound_that_is_too_large_lies_beside_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle_report, "PAGE_BYTES", 100_000)
    talk.record(tmp_path / "talk", [*talk.sound(), *talk.events()])
    written = report(tmp_path / "talk", tmp_path / "a #b.html")
    assert [file.name for file in sorted(tmp_path.glob("a*"))] == ["a #b.html", "a #b.sound.webm"]
    assert "a #b.sound.webm: the sound" in written.lines[0]
    assert Parts(tmp_path / "a #b.html").data["sound"] == "a%20%23b.sound.webm"
    report(tmp_path / "talk", tmp_path / "a #b.html", with_sound=False)  # who leaves it out wants no earlier one there
    assert [file.name for file in sorted(tmp_path.glob("a*"))] == ["a #b.html"]


def test_without_a_media_library_the_page_says_so(tmp_path, monkeypatch):
    talk.record(tmp_path / "talk", [*talk.sound(), *talk.events()])
    monkeypatch.setitem(__import__("sys").modules, "av", None)
    page = reported(tmp_path)
    assert any("PyAV" in row["text"] for row in page.items["lacks"].values())
    assert page.items["sound"]["all"] == {"present": False, "text": "The sound could not be added."}


def test_only_an_earlier_report_is_replaced(tmp_path, monkeypatch):
    made(tmp_path, talk.events()[:3])
    assert reported(tmp_path).items["utterances"]
    (tmp_path / "page.html").write_text("<!doctype html><p>my own")
    monkeypatch.setattr(bundle_report, "encode_opus", None)  # nobody waits for the sound to be told so
    with pytest.raises(SessionError, match="is there already, and is no report"):
        reported(tmp_path)
    assert (tmp_path / "page.html").read_text() == "<!doctype html><p>my own"


def test_what_explains_an_utterance_is_carried_along(tmp_path):
    page = made(tmp_path, talk.events(), explanations={"u1": "<svg/>"})
    assert page.items["why"] == {"u1": {"svg": "<svg/>"}}


def test_a_page_that_cannot_be_written_is_one_line(tmp_path):
    talk.record(tmp_path / "talk", talk.events())
    with pytest.raises(SessionError, match=r"cannot be written: .*; name another place with -o"):
        report(tmp_path / "talk", tmp_path / "no/page.html")

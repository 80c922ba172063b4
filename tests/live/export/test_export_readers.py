"""What is exported is what was recorded: each format read back by a reader that is not ours, of any session."""

import csv
import html
import json
import math
from collections import Counter
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow.parquet as pq
import pytest
import pyxdf
import srt
import webvtt
from hypothesis import given, settings
from mcap.reader import make_reader
from praatio import textgrid as praat
from pyannote.database.util import load_rttm
from pympi import Eaf
from talks import WALL_NS, made, sessions

from erc_live.live.export import caption_files, csv_file, eaf, mcap_file, parquet_file, rttm, textgrid, xdf
from erc_live.live.export.plain_text import UniqueNames, one_line, span_ms, xml_line
from erc_live.live.export.tiers import tiers
from erc_live.streams import codec
from erc_live.streams.conversation_view import ConversationView
from erc_live.streams.messages import Hello, Overload, Relabel, SessionEnd, SessionState, WorkerLost

a_session = given(sessions())
few = settings(max_examples=40, deadline=None)


class Read:
    """A session written and what the view says of it."""

    def __init__(self, session, write) -> None:
        self._folder = TemporaryDirectory()
        self.folder = Path(self._folder.name)
        self.view = made(self.folder, write, session)

    def __enter__(self) -> "Read":
        return self

    def __exit__(self, *_) -> None:
        self._folder.cleanup()


def spans(view: ConversationView) -> list[tuple[int, int]]:
    return [span_ms(e.event.t_start_ns - view.start_ns, e.event.t_end_ns - view.start_ns) for e in view.utterances]


@few
@a_session
def test_csv(session):
    with Read(session, csv_file.write) as done:
        with (done.folder / "talk.utterances.csv").open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert len(rows) == len(done.view.utterances)
        for row, each in zip(rows, done.view.utterances, strict=True):
            assert (row["text"], row["speaker_name"]) == (each.event.text, each.speaker_name)
            assert (row["label"], row["label_annotated"]) == (each.event.label, each.label_annotated or "")
            assert (int(row["t_start_ns"]), float(row["start_s"]) * 1e9) == pytest.approx((each.event.t_start_ns,) * 2)
            assert row["certain"] == str(each.event.certain).lower()
            assert {n: float(row[f"p_{n}"]) for n in each.event.probs} == each.event.probs
            assert (float(row["valence"]) if row["valence"] else None) == each.event.valence
        with (done.folder / "talk.words.csv").open(encoding="utf-8", newline="") as file:
            words = [row["word"] for row in csv.DictReader(file)]
        assert words == [word.text for each in done.view.utterances for word in each.event.words]
        with (done.folder / "talk.moments.csv").open(encoding="utf-8", newline="") as file:
            kinds = [row["kind"] for row in csv.DictReader(file)]
        assert kinds.count("mark") == len(done.view.marks)
        assert kinds.count("gap") == len(done.view.gaps)
        assert kinds.count("label") == sum(len(each.annotations) for each in done.view.utterances)


@few
@a_session
def test_parquet(session):
    with Read(session, parquet_file.write) as done:
        rows = pq.read_table(done.folder / "talk.utterances.parquet").to_pylist()
        for row, each in zip(rows, done.view.utterances, strict=True):
            assert (row["text"], row["label_annotated"]) == (each.event.text, each.label_annotated)
            assert (row["valence"], row["arousal"]) == (each.event.valence, each.event.arousal)
            assert (row["t_start_ns"], row["t_end_ns"]) == (each.event.t_start_ns, each.event.t_end_ns)
            assert {n: row[f"p_{n}"] for n in each.event.probs} == each.event.probs
        assert pq.read_schema(done.folder / "talk.moments.parquet").names[0] == "kind"


@few
@a_session
def test_webvtt(session):
    with Read(session, caption_files.write_vtt) as done:
        cues = list(webvtt.read(done.folder / "talk.vtt"))
        assert [(ms(cue.start), ms(cue.end)) for cue in cues] == spans(done.view)
        for cue, each in zip(cues, done.view.utterances, strict=True):
            said = html.unescape(cue.text)
            assert said.startswith(f"[{one_line(each.event.label)}")
            assert said.endswith(one_line(f"] {one_line(each.event.text)}"))
            assert one_line(each.label_annotated or "") in said
        voices = {each.speaker: html.unescape(cue.voice) for cue, each in zip(cues, done.view.utterances, strict=True)}
        assert len(set(voices.values())) == len(voices), "two speakers have one voice"


@few
@a_session
def test_subrip(session):
    with Read(session, caption_files.write_srt) as done:
        text = (done.folder / "talk.srt").read_text(encoding="utf-8")
        cues = list(srt.parse(text))
        assert [(delta_ms(cue.start), delta_ms(cue.end)) for cue in cues] == spans(done.view)
        for cue, each in zip(cues, done.view.utterances, strict=True):
            assert cue.content.endswith(one_line(f"] {one_line(each.event.text)}"))


@few
@a_session
def test_rttm(session):
    with Read(session, rttm.write) as done:
        file = done.folder / "talk.rttm"
        lines = [line.split() for line in file.read_text(encoding="utf-8").split("\n") if line]
        assert all(len(line) == 10 for line in lines)
        if lines:
            turns = load_rttm(file)["talk"]
            read = [(round(segment.start * 1000), round(segment.end * 1000)) for segment, *_ in turns.itertracks()]
            assert sorted(read) == sorted(spans(done.view))
            assert len(turns.labels()) == len(done.view.speakers)


@few
@a_session
def test_textgrid(session):
    with Read(session, textgrid.write) as done:
        if not done.view.utterances and not done.view.marks:
            return  # praatio reads no grid without tiers, which Praat does
        grid = praat.openTextgrid(done.folder / "talk.TextGrid", includeEmptyIntervals=True)
        spoken = [tier.name for tier in tiers(done.view, UniqueNames())]
        words = [grid.getTier(name) for name in spoken]
        read = [entry for tier in words for entry in tier.entries]
        for tier in words:
            assert all(a.end == b.start for a, b in pairwise(tier.entries))
            labels = grid.tiers[grid.tierNames.index(tier.name) + 1].entries
            assert [(e.start, e.end) for e in labels] == [(e.start, e.end) for e in tier.entries]
        found = {(round(e.start * 1000), round(e.end * 1000), e.label) for e in read}
        for span, each in zip(spans(done.view), done.view.utterances, strict=True):
            assert (*span, one_line(each.event.text)) in found
        if done.view.marks:
            assert [tier for tier in grid.tiers if isinstance(tier, praat.PointTier)]


@few
@a_session
def test_elan(session):
    with Read(session, eaf.write) as done:
        document = Eaf(str(done.folder / "talk.eaf"))
        words = [tier for tier in document.get_tier_names() if document.get_parameters_for_tier(tier).get("PARTICIPANT")
                 and "PARENT_REF" not in document.get_parameters_for_tier(tier)]  # fmt: skip
        found, annotated = [], []
        for tier in words:
            own = sorted(document.get_annotation_data_for_tier(tier))
            assert all(a[1] <= b[0] for a, b in pairwise(own))
            found += [(start, end, text or "") for start, end, text, *_ in own]
            below = [child for child in document.get_tier_names()
                     if document.get_parameters_for_tier(child).get("PARENT_REF") == tier]  # fmt: skip
            assert len(document.get_ref_annotation_data_for_tier(below[0])) == len(own)
            annotated += below[1:]
        wanted = [
            (*span, xml_line(each.event.text))
            for span, each in zip(spans(done.view), done.view.utterances, strict=True)
        ]
        assert sorted(found) == sorted(wanted)
        count = sum(len(document.get_ref_annotation_data_for_tier(tier)) for tier in annotated)
        assert count == sum(each.label_annotated is not None for each in done.view.utterances)


@few
@a_session
def test_mcap(session):
    with Read(session, mcap_file.write) as done:
        with (done.folder / "talk.mcap").open("rb") as file:
            read = list(make_reader(file).iter_messages())
        by_topic = {}
        for schema, channel, message in read:
            assert (channel.message_encoding, schema.encoding) == ("json", "jsonschema")
            assert json.loads(schema.data)["type"] == "object"
            by_topic.setdefault(channel.topic, []).append((message.log_time, codec.from_json(message.data)))
        assert [each for _, each in by_topic.get("/utterances", [])] == [each.event for each in done.view.utterances]
        for at_ns, event in by_topic.get("/utterances", []):
            assert at_ns == WALL_NS + event.t_start_ns
        assert len(by_topic.get("/gaps", [])) == len(done.view.gaps)
        befell = [message for _, message in by_topic.get("/session", []) if not isinstance(message, Hello | SessionEnd)]
        other = SessionState | Overload | WorkerLost | Relabel
        assert Counter(map(repr, befell)) == Counter(repr(each) for each in session.events if isinstance(each, other))


@few
@a_session
def test_xdf(session):
    with Read(session, xdf.write) as done:
        streams, header = pyxdf.load_xdf(done.folder / "talk.xdf", dejitter_timestamps=False)
        by_name = {stream["info"]["name"][0]: stream for stream in streams}
        assert header["info"]["datetime"][0].startswith("2026-")
        texts = by_name["erc-live utterances"]
        spoken = sorted(done.view.utterances, key=lambda each: each.event.t_end_ns)
        assert [row[-1] for row in texts["time_series"]] == [each.event.text for each in spoken]
        assert [row[3] for row in texts["time_series"]] == [each.label_annotated or "" for each in spoken]
        ends = [(each.event.t_end_ns - done.view.start_ns) / 1e9 for each in spoken]
        assert list(texts["time_stamps"]) == pytest.approx(ends)
        if spoken:
            shares = by_name["erc-live probabilities"]
            described = shares["info"]["desc"][0]["channels"][0]["channel"]
            names = [channel["label"][0] for channel in described]
            assert names[-2:] == ["valence", "arousal"]
            for row, each in zip(shares["time_series"], spoken, strict=True):
                read = dict(zip(names, row, strict=True))
                assert {xml_line(n): read[xml_line(n)] for n in each.event.probs} == pytest.approx(
                    {xml_line(n): share for n, share in each.event.probs.items()}
                )
                places = [math.nan if p is None else p for p in (each.event.valence, each.event.arousal)]
                assert list(row[-2:]) == pytest.approx(places, nan_ok=True)
        marks = len(done.view.marks) + 2 * len(done.view.gaps)
        assert len(by_name["erc-live markers"]["time_series"]) == marks


def ms(stamp: str) -> int:
    hours, minutes, rest = stamp.split(":")
    return (int(hours) * 60 + int(minutes)) * 60_000 + round(float(rest) * 1000)


def delta_ms(delta) -> int:
    return round(delta.total_seconds() * 1000)

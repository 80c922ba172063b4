"""LSL, against inlets of the library, on this machine alone."""

import json
import math
import os
import subprocess
import sys
import threading
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from talk import FINALS, NAME, TALK, S

from erc_live.live.bridges.bridge import carry
from erc_live.live.bridges.lsl import ESTIMATES, LABELS, MARKERS, LslBridge, marker_of, this_machine_alone
from erc_live.live.bridges.lsl_markers import MarkerInlet
from erc_live.streams.control_channel import ControlReply
from erc_live.streams.errors import AddressError

pytestmark = pytest.mark.xdist_group("lsl")

HERE = Path(__file__).parent
os.environ.setdefault("LSLAPICFG", str(HERE / "lsl_api.cfg"))  # before liblsl is loaded
WALL_S = 1_700_000_000.0  # when the session of `talk` began
LATER_S = 60.0  # since then, when the bridge meets it

# An inlet in a process of its own, as LabRecorder is: says what each stream is, then its samples, as JSON lines.
_INLET = """
import json, sys
import pylsl
streams, found = {name: None for name in sys.argv[2:]}, []
for name in streams:
    (info,) = pylsl.resolve_byprop("source_id", name + " " + sys.argv[1], timeout=60)
    inlet = pylsl.StreamInlet(info)
    inlet.open_stream(timeout=60)
    found.append((name, inlet))
print("listening", flush=True)
for name, inlet in found:
    info = inlet.info()
    channel, channels = info.desc().child("channels").child("channel"), []
    while not channel.empty():
        channels.append(channel.child_value("label"))
        channel = channel.next_sibling()
    samples = []
    while True:
        sample, stamp = inlet.pull_sample(timeout=1.0 if samples else 60.0)
        if sample is None or "done" in sample:
            break
        samples.append((stamp, sample))
    about = {"name": name, "type": info.type(), "rate": info.nominal_srate(), "channels": channels}
    print(json.dumps(about | {"samples": samples, "notice": info.desc().child_value("notice")}), flush=True)
"""


@pytest.fixture(scope="module")
def streams():
    """What inlets in another process got of the session, by stream; and the clock of LSL at the session's begin."""
    import pylsl

    bridge = LslBridge(unix_s=lambda: WALL_S + LATER_S)
    session = uuid.uuid4().hex  # others may run these tests at the same time
    bridge.send(replace(TALK[0], session=session))
    begin_s = bridge.lsl_s(TALK[0].t_ns)
    assert begin_s == pytest.approx(pylsl.local_clock() - LATER_S, abs=5.0)
    command = [sys.executable, "-c", _INLET, session, ESTIMATES, LABELS, MARKERS]
    inlet = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert inlet.stdout.readline() == "listening\n"
    for message in TALK[1:]:
        bridge.send(message)
    out, _ = inlet.communicate(timeout=120)
    return {stream["name"]: stream for stream in map(json.loads, out.splitlines())}, begin_s


def test_probabilities_are_numbers_whose_channels_have_names(streams):
    found, begin_s = streams
    estimates = found[ESTIMATES]
    assert (estimates["type"], estimates["rate"]) == ("Emotion", 0.0)
    beside = ["speaker", "revision", "certain", "duration_s", "valence", "arousal"]
    assert estimates["channels"] == [*TALK[0].labels, *beside]
    for (stamp, sample), event in zip(estimates["samples"], FINALS, strict=True):
        values = dict(zip(estimates["channels"], sample, strict=True))
        assert {label: values[label] for label in TALK[0].labels} == pytest.approx(event.probs)
        assert (values["speaker"], values["revision"], values["certain"]) == (event.speaker, event.revision, 1.0)
        assert values["duration_s"] == pytest.approx(0.5)
        places = [math.nan if place is None else place for place in (event.valence, event.arousal)]
        assert [values["valence"], values["arousal"]] == pytest.approx(places, nan_ok=True)
        assert stamp - begin_s == pytest.approx((event.t_end_ns - TALK[0].t_ns) / S, abs=1e-4)
    assert "estimates" in estimates["notice"]


def test_labels_and_markers_are_strings_at_the_time_when_they_happened(streams):
    found, begin_s = streams
    assert [sample for _, sample in found[LABELS]["samples"]] == [
        [event.label, event.speaker_name, event.utterance, event.text] for event in FINALS
    ]
    assert found[LABELS]["samples"][0][1][1] == NAME
    markers = {sample[0]: stamp - begin_s for stamp, sample in found[MARKERS]["samples"]}
    assert markers["mark door opens"] == pytest.approx(3.0, abs=1e-4)
    assert markers["gap mic-0 device until 10.000"] == pytest.approx(4.0, abs=1e-4)
    assert {"recording", "alert on anger: Ada: anger above 0.6 for 5 s", "end end of file"} <= markers.keys()


def test_without_settings_of_ones_own_it_stays_on_this_machine(monkeypatch):
    monkeypatch.delenv("LSLAPICFG")
    with this_machine_alone():
        settings = Path(os.environ["LSLAPICFG"])
        assert "ResolveScope = machine" in settings.read_text()
    assert "LSLAPICFG" not in os.environ
    assert not settings.exists()
    monkeypatch.setenv("LSLAPICFG", "mine.cfg")
    with this_machine_alone():
        assert os.environ["LSLAPICFG"] == "mine.cfg"


def test_every_message_but_greetings_and_events_of_utterances_is_a_marker_or_is_left_out_on_purpose():
    without = [type(message).__name__ for message in TALK if marker_of(message) is None]
    assert set(without) == {"Hello", "EmotionEvent"}


@given(st.integers(-(2**52), 2**52))
def test_session_time_there_and_back(t_ns):
    bridge = LslBridge(unix_s=lambda: WALL_S)
    carry(TALK[:0], bridge)
    assert bridge.session_ns(bridge.lsl_s(t_ns)) == pytest.approx(t_ns, abs=2000)


def test_markers_of_others_become_marks_at_their_time():
    import pylsl

    name = f"stimuli {uuid.uuid4().hex}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, pylsl.cf_string, name))
    asked, lines, complete = [], [], threading.Semaphore(0)

    def ask(request):
        asked.append(request)
        complete.release()
        if request.text == "late":
            raise AddressError("nobody answers")
        return ControlReply(ok=request.text != "odd", error="no such thing")

    bridge = LslBridge(unix_s=lambda: WALL_S)
    bridge.send(TALK[0])
    with MarkerInlet(name, bridge, ask, lines.append):
        assert outlet.wait_for_consumers(60)
        for number, text in enumerate(["Ton „an“", "odd", "late", "x" * 2_500]):
            outlet.push_sample([text], bridge.lsl_s((20 + number) * S))
        for _ in range(4):
            assert complete.acquire(timeout=60)
    assert [request.text for request in asked] == ["Ton „an“", "odd", "late", "x" * 2_000]
    assert [request.t_ns for request in asked] == pytest.approx([20 * S, 21 * S, 22 * S, 23 * S], abs=S // 1000)
    assert {request.author for request in asked} == {f"lsl {name}"}
    assert [line.partition(": ")[2] for line in lines] == [
        f"markers of {name!r} become marks of the session",
        "the marker 'odd' was not taken: no such thing",
        "the marker 'late' was not taken: nobody answers",
        "a marker of 2500 letters is cut after 2000, the most that a mark holds",
    ]


def test_a_marker_of_a_sender_that_has_gone_is_told_and_holds_up_nobody(monkeypatch):
    """Its clock is asked for when its first marker comes, which may be when it is no longer there."""
    import pylsl

    def gone(inlet, timeout=None):
        assert timeout is not None, "nobody waits without a limit"
        raise pylsl.util.TimeoutError("the operation failed due to a timeout.")

    monkeypatch.setattr(pylsl.StreamInlet, "time_correction", gone)
    name = f"stimuli {uuid.uuid4().hex}"
    outlet = pylsl.StreamOutlet(pylsl.StreamInfo(name, "Markers", 1, 0, pylsl.cf_string, name))
    lines, told = [], threading.Semaphore(0)

    def say(line):
        lines.append(line)
        told.release()

    bridge = LslBridge(unix_s=lambda: WALL_S)
    bridge.send(TALK[0])
    with MarkerInlet(name, bridge, lambda request: ControlReply(ok=True), say):
        assert outlet.wait_for_consumers(60)
        for _ in range(2):
            outlet.push_sample(["x"])
        for _ in range(3):
            assert told.acquire(timeout=60)
    assert [line.partition(": ")[2] for line in lines[1:]] == [
        f"a marker of {name!r} was not taken: the operation failed due to a timeout."
    ] * 2

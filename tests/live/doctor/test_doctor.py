"""Doctor never falls ill itself: whatever breaks is a finding, with the code that a session would end with."""

import io
import json
import os
import socket
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from erc_live.live import config as configuration
from erc_live.live.doctor import machine_checks, selection
from erc_live.live.doctor.device_checks import level
from erc_live.live.doctor.engine_checks import cuda_finding, speed_finding
from erc_live.live.doctor.findings import Case, Check, Diagnosis, Finding, diagnosis, examine
from erc_live.live.doctor.probes import ProbeResult, attempt
from erc_live.live.errors import ConfigError, DeviceError, EngineError, exit_code
from erc_live.models.errors import WeightsError
from erc_live.streams.errors import AddressError, SessionError

ERRORS = (
    ConfigError,
    DeviceError,
    EngineError,
    WeightsError,
    AddressError,
    SessionError,
    ValueError,
    OSError,
    KeyError,
)
CHECK = Check("it", "machine", lambda check, case: check.finding("ok", ""))
LIGHT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import erc_live.live.cli as cli
sys.argv[1:] = ["doctor", "--json", "--no-speed-test", "--no-level-test", *sys.argv[1:]]
cli.main()
"""
MACHINE_LEARNING = ["torch", "torch_geometric", "transformers", "faster_whisper", "onnxruntime", "ctranslate2", "cv2"]


def case(tmp_path: Path, *sets: str, **fields: Any) -> Case:
    config = configuration.load(sets=sets).config
    return Case(config=config, models_folder=tmp_path / "models", record=tmp_path, **fields)


def look(checks: Any, name: str, examined: Case) -> Finding:
    (finding,) = examine([check for check in checks if check.name == name], examined, nullcontext)
    return finding


@given(st.lists(st.sampled_from([None, *ERRORS]), max_size=6))
def test_what_one_check_raises_is_its_own_finding(errors):
    def check(number: int, error: type[Exception] | None) -> Check:
        def looked(check: Check, case: Case) -> Finding:
            if error is not None:
                raise error("broken\nhere")
            return check.finding("ok", "fine")

        return Check(f"check {number}", "machine", looked)

    case = Case(configuration.Config(), Path(), Path())
    result = diagnosis(examine([check(*item) for item in enumerate(errors)], case, nullcontext))
    assert [finding.check for finding in result.findings] == [f"check {number}" for number in range(len(errors))]
    codes = [exit_code(error("")) for error in errors if error is not None]
    assert result.code == next((code for code in codes if code), 0)
    assert all("\n" not in finding.detail for finding in result.findings)


def test_the_findings_are_json_of_a_stable_schema():
    result = diagnosis([CHECK.finding("missing", "no", "do it", 3, {"free_bytes": 1.0}), CHECK.finding("warning", "")])
    again = msgspec.json.decode(msgspec.json.encode(result), type=Diagnosis)
    assert again == result
    assert again.schema == "erc.doctor/1"
    assert set(json.loads(msgspec.json.encode(result.findings[0]))) == {
        "check", "group", "status", "detail", "remedy", "code", "figures",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("pcm", "status", "says"),
    [
        (None, "missing", "delivered nothing"),
        (np.zeros(512), "warning", "zeros alone"),
        (np.full(512, 30), "warning", "too quiet"),
        (np.full(512, 32_767), "warning", "cut off"),
        (np.full(512, 3000), "ok", "-21 to -21 dBFS"),
    ],
)
def test_the_level_of_a_microphone(pcm, status, says):
    finding = level(CHECK, "mic", [] if pcm is None else [pcm.astype(np.int16)] * 90)
    assert (finding.status, says in finding.detail) == (status, True), finding


@given(st.lists(st.lists(st.integers(-(2**15), 2**15 - 1), min_size=1, max_size=600), min_size=1, max_size=8))
def test_no_sound_is_too_odd_to_be_measured(chunks):
    finding = level(CHECK, "mic", [np.array(chunk, np.int16) for chunk in chunks])
    assert finding.status in ("ok", "warning")
    assert all(np.isfinite(value) for value in finding.figures.values())


def test_a_process_that_dies_takes_nobody_with_it(tmp_path, monkeypatch):
    (tmp_path / "aborting_driver.py").write_text("import os\nos.abort()\n")
    (tmp_path / "broken_driver.py").write_text("raise ImportError('libGL.so.1: cannot open')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert "code -6" in attempt("libraries", "aborting_driver").failure
    assert "libGL.so.1" in attempt("libraries", "broken_driver").failure
    assert attempt("libraries", "json").values == {"loaded": ["json"]}


GPU = ProbeResult({"torch": "2", "available": True, "device": "a GPU", "cudnn": 9})
NO_GPU = ProbeResult({"torch": "2", "available": False})
DIED = ProbeResult(failure="its process ended with code -6")


@pytest.mark.parametrize(
    ("device", "outcome", "status"),
    [
        ("auto", GPU, "ok"),
        ("cuda", GPU, "ok"),
        ("auto", NO_GPU, "ok"),
        ("cuda", NO_GPU, "missing"),
        ("auto", DIED, "missing"),
        ("cpu", DIED, "skipped"),
    ],
)
def test_a_gpu_is_missed_by_those_alone_who_need_it(device, outcome, status):
    finding = cuda_finding(CHECK, device, outcome)
    assert finding.status == status
    assert finding.code == (5 if status == "missing" else 0)


def test_a_slow_recogniser_is_a_warning_with_its_figure():
    values = {"name": "faster-whisper large cpu", "load_s": 3.0, "real_time_factor": 2.5, "sound_s": 9.0}
    slow, quick = (speed_finding(CHECK, ProbeResult(values | {"real_time_factor": f})) for f in (2.5, 0.2))
    assert (slow.status, slow.figures["real_time_factor"], quick.status) == ("warning", 2.5, "ok")
    assert speed_finding(CHECK, DIED).status == "warning"


@pytest.mark.parametrize(
    ("sets", "check", "status", "says"),
    [
        ((), "words", "missing", "not on this disk"),
        (("transcriber.engine=none",), "words", "ok", "voice and face alone"),
        (("transcriber.model=/no/such",), "words", "missing", "not on this disk"),
        (("perception.turn_detector=smart-turn",), "ends of turns", "missing", "not on this disk"),
        ((), "ends of turns", "warning", "by pauses alone"),
        (("visual.face_finder=yunet",), "faces", "missing", "erc-live models fetch yunet"),
        (("session.text_only=true",), "faces", "ok", "session.text_only"),
        (("session.setting=workplace",), "purpose", "missing", "Article 5"),
        (("tracker.weights=/no/such",), "emotion", "missing", "/no/such"),
        (("tracker.device=cpu",), "emotion", "ok", "tracker.device names it"),
        (("speakers.most=1",), "voices", "ok", "speakers.most is 1"),
        ((), "alerts", "skipped", "no rule"),
    ],
)
def test_what_would_run_and_why(tmp_path, monkeypatch, sets, check, status, says):
    monkeypatch.setattr("erc_live.live.asr.whisper_models._cached", lambda name: None)
    monkeypatch.setattr(
        "importlib.util.find_spec",
        lambda name, find=selection.importlib.util.find_spec: None if name == "pocketsphinx" else find(name),
    )
    finding = look(selection.selection_checks(), check, case(tmp_path, *sets))
    assert (finding.status, says in f"{finding.detail} {finding.remedy}") == (status, True), finding


def test_rules_that_a_session_would_refuse_are_missing_with_its_code(tmp_path):
    for above, status, says in ((0.6, "ok", "rules: angry"), (2.0, "missing", "[[alerts]] angry: above: 2.0")):
        rules = (configuration.AlertRule(name="angry", kind="emotion", label="anger", above=above),)
        examined = Case(configuration.Config(alerts=rules), tmp_path / "models", tmp_path)
        finding = look(selection.selection_checks(), "alerts", examined)
        assert (finding.status, says in finding.detail, finding.code) == (status, True, 2 if above > 1 else 0)


@pytest.mark.parametrize(
    ("sets", "check", "status", "says"),
    [
        ((), "control channel", "skipped", "control.enabled is false"),
        (("control.enabled=true", "control.endpoint=ipc://{}/c"), "control channel", "ok", "is free"),
        (
            ("control.enabled=true", "control.endpoint=tcp://0.0.0.0:5578"),
            "control channel",
            "missing",
            "other machines",
        ),
        (("control.enabled=true", "control.endpoint=ipc://{}"), "control channel", "missing", "control.endpoint"),
        (("events.endpoint=tcp://0.0.0.0:5577",), "event stream", "missing", "keys allow"),
    ],
)
def test_a_place_that_a_session_would_refuse_is_missing(tmp_path, monkeypatch, sets, check, status, says):
    monkeypatch.setattr("platformdirs.user_config_path", lambda *_: tmp_path / "config")
    examined = case(tmp_path, *(one.format(tmp_path) for one in sets))
    finding = look(machine_checks.machine_checks(), check, examined)
    assert (finding.status, says in finding.detail, finding.code) == (status, True, 6 if status == "missing" else 0)


def test_an_endpoint_and_a_port_in_use_have_the_code_of_an_address(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        examined = case(tmp_path, f"events.endpoint=tcp://127.0.0.1:{port}", f"metrics.port={port}")
        found = [look(machine_checks.machine_checks(), name, examined) for name in ("event stream", "metrics port")]
    assert [(finding.status, finding.code) for finding in found] == [("missing", 6)] * 2


def test_a_folder_that_will_be_made_is_looked_for_above(tmp_path, monkeypatch):
    examined = Case(configuration.Config(), tmp_path / "models", tmp_path / "not" / "yet")
    assert str(tmp_path) in look(machine_checks.machine_checks(), "recording folder", examined).detail
    assert not list(tmp_path.iterdir())

    def refused(**options: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refused)
    assert look(machine_checks.machine_checks(), "recording folder", examined).status == "warning"


def test_a_clock_that_is_set_is_noticed(tmp_path, monkeypatch):
    wall = iter((10**18, 10**18 + 5 * 10**9))
    monkeypatch.setattr("time.time_ns", lambda: next(wall))
    finding = look(machine_checks.machine_checks(), "clock", case(tmp_path))
    assert finding.status == "warning"
    assert "moved by +4" in finding.detail


@pytest.mark.parametrize(("size", "status"), [((80, 24), "ok"), ((39, 24), "warning"), ((80, 9), "warning")])
def test_the_terminal(size, status):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    console = Console(file=screen, force_terminal=True, width=size[0], height=size[1], _environ={"TERM": "xterm"})
    assert machine_checks.terminal(CHECK, console).status == status
    assert machine_checks.terminal(CHECK, Console(file=io.StringIO())).status == "skipped"


def test_where_the_machine_learning_is_missing_it_says_so_and_goes_on(tmp_path):
    code = LIGHT.format(absent=MACHINE_LEARNING)
    command = [sys.executable, "-c", code, "--no-devices", "--set", f"models.folder={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ)
    result = msgspec.json.decode(done.stdout, type=Diagnosis)
    assert done.returncode == result.code == 5, done.stderr
    found = {finding.check: finding for finding in result.findings}
    assert found["libraries"].status == "missing"
    assert "torch" in found["libraries"].detail
    assert found["event stream"].status in ("ok", "warning")
    assert found["terminal"].status == "skipped"

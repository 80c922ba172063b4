"""The BIDS dataset is one to the validator of BIDS itself, and says what the session said."""

import csv
import json
import subprocess
from importlib.metadata import files
from pathlib import Path

import pytest
import soundfile
from bids_validator import BIDSValidator
from hypothesis import given, settings
from talks import TALK, exported, made, record, sessions

from erc_live.live.export import bids
from erc_live.live.export.plain_text import one_line
from erc_live.streams.session import open_session


def installed(package: str, name: str) -> str:
    """A file of an installed package."""
    return next(str(file.locate()) for file in files(package) if file.with_suffix("").as_posix().endswith(name)
                or file.as_posix().endswith(name))  # fmt: skip


def validated(dataset: Path) -> list[str]:
    """The codes of the errors that the validator reports; it may read, and may not ask the network."""
    deno, script = installed("deno", "bin/deno"), installed("bids-validator-deno", "bids-validator.js")
    rights = ["--allow-read", "--allow-env", "--deny-net", "--no-prompt"]
    command = [deno, "run", *rights, script, "--format", "json", str(dataset)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    issues = json.loads(done.stdout)["issues"]["issues"]
    return [f"{each['code']} {each.get('location')}" for each in issues if each["severity"] == "error"]


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids")
    with exported(open_session(record(folder / "s")), folder) as export:
        bids.write(export)
    return folder / "talk-bids"


def test_the_validator_finds_no_error(dataset):
    assert validated(dataset) == []
    (dataset / ".bidsignore").rename(dataset.parent / "aside")
    try:
        assert validated(dataset)  # of BEP047, which it does not know yet; so it did look
    finally:
        (dataset.parent / "aside").rename(dataset / ".bidsignore")


def test_names_of_files_are_of_bids(dataset):
    names = ["/" + file.relative_to(dataset).as_posix() for file in dataset.rglob("*") if file.is_file()]
    unknown = [name for name in names if not BIDSValidator().is_bids(name)]
    assert all("_audio." in name or name == "/.bidsignore" for name in unknown)
    assert sum(name.endswith("_audio.flac") for name in names) == 3


def test_each_participant_has_events_and_sound(dataset):
    assert [row["participant_id"] for row in rows(dataset / "participants.tsv")] == ["sub-01", "sub-02", "sub-03"]
    for number in range(3):
        folder = next(dataset.glob(f"sub-0{number + 1}/ses-*"))
        events = [row for row in rows(next(folder.glob("beh/*_events.tsv"))) if row["trial_type"] != "mark"]
        own = [(start, length) for start, length, _, speaker, _ in TALK if speaker == number]
        assert [(float(row["onset"]), float(row["duration"])) for row in events] == own
        sound = next(folder.glob("beh/*_audio.flac"))
        about = json.loads(sound.with_suffix(".json").read_text())
        assert soundfile.info(sound).samplerate == about["AudioSampleRate"]
        assert soundfile.info(sound).duration == pytest.approx(about["Duration"])
        listed = {row["filename"] for row in rows(next(folder.glob("*_scans.tsv")))}
        assert listed == {f"beh/{file.name}" for file in folder.glob("beh/*") if file.suffix != ".json"}


def test_names_of_people_stay_out(dataset):
    for file in dataset.rglob("*"):
        assert "Ben" not in file.name
        if file.suffix in (".tsv", ".json", ".md"):
            assert "Ben" not in file.read_text()


@settings(max_examples=25, deadline=None)
@given(sessions())
def test_any_session_gives_tables_that_can_be_read(tmp_path_factory, session):
    folder = tmp_path_factory.mktemp("any")
    view = made(folder, bids.write, session)
    for key, subject in zip(view.speakers, sorted(folder.glob("talk-bids/sub-*")), strict=True):
        spoken = [each for each in view.utterances if each.speaker == key]
        read = rows(next(subject.rglob("*_events.tsv")))
        labels = {one_line(each.event.label) for each in spoken} | {"mark"}
        assert {row["trial_type"] for row in read} <= labels
        assert len(read) == len(spoken) + len(view.marks)
        assert all(None not in row.values() and None not in row for row in read)

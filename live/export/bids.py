"""A BIDS dataset (1.11) of behaviour: a participant for each speaker, with events and, as BEP047 proposes, sound.

    dataset_description.json  README.md  participants.tsv  participants.json  .bidsignore
    sub-01/ses-<time>/sub-01_ses-<time>_scans.tsv                    when each file begins
    sub-01/ses-<time>/beh/sub-01_..._task-conversation_events.tsv    utterances and marks; what columns mean: .json
    sub-01/ses-<time>/beh/sub-01_..._recording-<microphone>_audio.flac, .json

BEP047 (audio and video recordings, proposal 2231 to bids-specification) is not part of BIDS yet: `.bidsignore` names
its files, so that a validator that does not know them passes them over.
The rule of this file: names of people stay out; a participant is a number, that of the speaker in the other formats.
"""

import json
import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any

from erc_live.live.export.aligned_sound import SoundTrack, length, sound_tracks
from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import one_line
from erc_live.live.export.sound_files import FlacWriter, write_tracks
from erc_live.live.export.tabular import Value, relative_s, time_text
from erc_live.streams.conversation_view import ConversationView, SpeakerKey
from erc_live.streams.messages import SAMPLE_RATE_HZ

_BIDS = "1.11.0"
_TASK = "conversation"
_IGNORED = "# BEP047, which BIDS has not taken up yet\n**/*_audio.flac\n**/*_audio.json\n"
_COLUMNS = {
    "onset": "Begin of the utterance in seconds from the start of the session, which scans.tsv gives.",
    "duration": "Length of the utterance in seconds; 0 for a mark.",
    "trial_type": "Estimated expressed emotion of the utterance, or `mark` for a moment that somebody marked.",
    "confidence": "Probability that the model gives to trial_type.",
    "certain": "`false` where the model would rather abstain.",
    "valence": "Valence that the probabilities of the labels give, from -1 to 1.",
    "arousal": "Arousal, alike.",
    "label_annotated": "What people took the expression for; of several labels the one that most of them gave.",
    "text": "The words as recognised, or the note of a mark.",
    "source": "The microphone.",
}


def write(export: Export) -> None:
    """The folder `STEM-bids`. Raises as `ExportFolder.path`."""
    view, root = export.view, f"{export.stem}-bids"
    session = "ses-" + re.sub(r"[^0-9T]", "", (time_text(view.start_wall_ns) or "1")[:19])
    subjects = {key: f"sub-{number:02}" for number, key in enumerate(view.speakers, 1)}
    _write_dataset(export, root, subjects)
    tracks = sound_tracks(export.session, view)
    files: dict[str, SoundTrack] = {}
    for key, subject in subjects.items():
        folder, name = f"{root}/{subject}/{session}", f"{subject}_{session}"
        stem = f"beh/{name}_task-{_TASK}"
        own = {
            f"{stem}_recording-{_label(track.source, number)}_audio": track
            for number, track in enumerate(tracks)
            if key in track.speakers
        }
        export.write_text(f"{folder}/{stem}_events.tsv", _tsv(_COLUMNS, _events(view, key)))
        export.write_text(f"{folder}/{stem}_events.json", _json(_about_events()))
        for place, track in own.items():
            export.write_text(f"{folder}/{place}.json", _json(_about_sound(view, track)))
        files |= {f"{folder}/{place}.flac": track for place, track in own.items()}
        begin = (time_text(view.start_wall_ns) or "n/a").split("+")[0]
        scans = [(f"{stem}_events.tsv", begin), *((f"{place}.flac", begin) for place in own)]
        export.write_text(f"{folder}/{name}_scans.tsv", _tsv(("filename", "acq_time"), scans))
    write_tracks(export, dict(sorted(files.items(), key=lambda item: item[1].source)), FlacWriter)


def _write_dataset(export: Export, root: str, subjects: dict[SpeakerKey, str]) -> None:
    about = {
        "Name": f"Conversation {export.stem}",
        "BIDSVersion": _BIDS,
        "DatasetType": "raw",
        "GeneratedBy": [{"Name": "erc-live", "Version": version("erc-live")}],
    }
    export.write_text(f"{root}/dataset_description.json", _json(about))
    export.write_text(f"{root}/README.md", _readme(export))
    export.write_text(f"{root}/.bidsignore", _IGNORED)
    rows = [(subject, key[1]) for key, subject in subjects.items()]
    export.write_text(f"{root}/participants.tsv", _tsv(("participant_id", "speaker"), rows))
    meaning = {"speaker": {"Description": "Number of the speaker in the session, by first appearance, from 0."}}
    export.write_text(f"{root}/participants.json", _json(meaning))


def _readme(export: Export) -> str:
    hello = export.view.hello
    notice = f"\nWhat the participants were told:\n\n> {one_line(hello.notice)}\n" if hello is not None else ""
    return (
        f"# Conversation {export.stem}\n\nExported by erc-live from the recorded session "
        f"{one_line(export.session.manifest.session)}. The labels in `trial_type` are estimated expressed emotion: "
        "what words, voice and face look like to a model, and no statement about what anybody felt. The texts and the "
        f"sound are personal data.\n{notice}"
    )


def _events(view: ConversationView, key: SpeakerKey) -> list[tuple[Value, ...]]:
    rows: list[tuple[Value, ...]] = []
    for each in view.utterances:
        event = each.event
        if each.speaker == key:
            times = relative_s(view, event.t_start_ns), max(0, event.t_end_ns - event.t_start_ns) / 1e9
            estimate = event.label, event.probs.get(event.label), str(event.certain).lower()
            places = event.valence, event.arousal
            rows.append((*times, *estimate, *places, each.label_annotated, event.text, event.source))
    nothing = (None,) * 5
    rows += [(relative_s(view, mark.t_ns), 0.0, "mark", *nothing, mark.text, None) for mark in view.marks]
    return sorted(rows, key=lambda row: row[:2])


def _about_events() -> dict[str, Any]:
    task = "People talk; a program estimates which emotion each utterance expresses."
    return {"TaskName": _TASK, "TaskDescription": task} | {
        name: {"Description": text, **({"Units": "s"} if name in ("onset", "duration") else {})}
        for name, text in _COLUMNS.items()
    }


def _about_sound(view: ConversationView, track: SoundTrack) -> dict[str, Any]:
    return {
        "TaskName": _TASK,
        "Device": one_line(track.source) or "microphone",
        "AudioChannelCount": 1,
        "AudioSampleRate": SAMPLE_RATE_HZ,
        "Duration": length(view) / SAMPLE_RATE_HZ,
    }


def _label(source: str, number: int) -> str:
    """A BIDS label: letters and digits; with a number, for others may have the same."""
    return re.sub(r"[^A-Za-z0-9]", "", source) + f"x{number}"


def _tsv(columns: Iterable[str], rows: Iterable[tuple[Value, ...]]) -> str:
    lines = ["\t".join(columns), *("\t".join(map(_cell, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def _cell(value: Value) -> str:
    text = one_line(value) if isinstance(value, str) else "" if value is None else str(value)
    return text or "n/a"


def _json(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"

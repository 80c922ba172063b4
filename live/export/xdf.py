"""XDF, the file format of the Lab Streaming Layer (specification 1.0, github.com/sccn/xdf): three streams of a session.

`erc-live probabilities`: a number for each label, then valence and arousal (NaN where they are unknown), at the end of
each utterance. `erc-live utterances`: texts: speaker,
label, what people annotated, words. `erc-live markers`: marks, alerts, gaps.
No library writes XDF, so the chunks are made here: length, tag, contents, all little-endian.
The rule of this file: time stamps are seconds from the start of the session; when that was, stands in the file header.
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from xml.etree import ElementTree as ET

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import xml_line
from erc_live.live.export.tabular import relative_s, time_text
from erc_live.streams.conversation_view import ConversationView

_FILE_HEADER, _STREAM_HEADER, _SAMPLES, _CLOCK_OFFSET, _STREAM_FOOTER = 1, 2, 3, 4, 6  # tags of chunks
_TOGETHER = 1_000  # samples in a chunk
_STAMPED = b"\x08"  # each sample brings a time stamp of 8 bytes

Sample = tuple[float, Sequence[str] | Sequence[float]]  # time in s, a value for each channel


@dataclass(frozen=True)
class XdfStream:
    """`kind` as LSL names it; texts (`string`) or numbers (`double64`)."""

    name: str
    kind: str
    channels: tuple[str, ...]
    texts: bool
    samples: tuple[Sample, ...]


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    view = export.view
    with export.folder.path(f"{export.stem}.xdf").open("wb") as file:
        file.write(b"XDF:")
        file.write(_chunk(_FILE_HEADER, _info({"version": "1.0", "datetime": time_text(view.start_wall_ns) or ""})))
        streams = list(enumerate(xdf_streams(view), 1))
        for number, stream in streams:
            file.write(_chunk(_STREAM_HEADER, _number(number) + _header(stream, number, export)))
            file.write(_chunk(_CLOCK_OFFSET, _number(number) + struct.pack("<dd", 0.0, 0.0)))
        for number, stream in streams:
            for start in range(0, len(stream.samples), _TOGETHER):
                part = stream.samples[start : start + _TOGETHER]
                content = b"\x04" + struct.pack("<I", len(part)) + b"".join(_sample(each, stream) for each in part)
                file.write(_chunk(_SAMPLES, _number(number) + content))
        for number, stream in streams:
            file.write(_chunk(_STREAM_FOOTER, _number(number) + _footer(stream)))


def xdf_streams(view: ConversationView) -> tuple[XdfStream, ...]:
    """What of the session is in the file."""
    labels = view.estimated_labels
    shares: list[Sample] = []
    texts: list[Sample] = []
    for each in sorted(view.utterances, key=lambda spoken: spoken.event.t_end_ns):
        event, at_s = each.event, relative_s(view, each.event.t_end_ns)
        start = f"{relative_s(view, event.t_start_ns):.9f}"
        numbers = [*(event.probs.get(label) for label in labels), event.valence, event.arousal]
        shares.append((at_s, [math.nan if number is None else number for number in numbers]))
        texts.append((at_s, [start, each.speaker_name, event.label, each.label_annotated or "", event.text]))
    numbered = (*labels, "valence", "arousal")
    fields = ("start_s", "speaker_name", "label", "label_annotated", "text")
    return (
        *((XdfStream("erc-live probabilities", "Emotion", numbered, False, tuple(shares)),) if labels else ()),
        XdfStream("erc-live utterances", "Transcript", fields, True, tuple(texts)),
        XdfStream("erc-live markers", "Markers", ("marker",), True, tuple(_markers(view))),
    )


def _markers(view: ConversationView) -> list[Sample]:
    marks = [(relative_s(view, mark.t_ns), [f"mark: {mark.text}"]) for mark in view.marks]
    alerts = [(relative_s(view, a.t_ns), [f"alert{'' if a.on else ' over'}: {a.text}"]) for a in view.alerts]
    gaps = [
        (relative_s(view, t_ns), [f"gap {what}: {gap.source}, {gap.cause}"])
        for gap in view.gaps
        for what, t_ns in (("begins", gap.t_start_ns), ("ends", gap.t_end_ns))
    ]
    return sorted([*marks, *alerts, *gaps], key=lambda sample: sample[0])


def _chunk(tag: int, content: bytes) -> bytes:
    return b"\x04" + struct.pack("<IH", len(content) + 2, tag) + content


def _number(stream: int) -> bytes:
    return struct.pack("<I", stream)


def _sample(sample: Sample, stream: XdfStream) -> bytes:
    at_s, values = sample
    head = _STAMPED + struct.pack("<d", at_s)
    return head + b"".join(_value(value) for value in values)


def _value(value: str | float) -> bytes:
    if isinstance(value, float):
        return struct.pack("<d", value)
    data = value.encode(errors="replace")
    return b"\x04" + struct.pack("<I", len(data)) + data


def _header(stream: XdfStream, number: int, export: Export) -> bytes:
    form = {
        "name": stream.name,
        "type": stream.kind,
        "channel_count": str(len(stream.channels)),
        "nominal_srate": "0",  # irregular
        "channel_format": "string" if stream.texts else "double64",
        "source_id": f"{export.session.manifest.session}/{number}",
        "created_at": "0",
    }
    return _info(form, stream.channels)


def _footer(stream: XdfStream) -> bytes:
    times = [at_s for at_s, _ in stream.samples] or [0.0]
    counted = {"first_timestamp": str(times[0]), "last_timestamp": str(times[-1])}
    return _info(counted | {"sample_count": str(len(stream.samples))})


def _info(values: dict[str, str], channels: Sequence[str] = ()) -> bytes:
    root = ET.Element("info")
    for name, value in values.items():
        ET.SubElement(root, name).text = xml_line(value)
    if channels:
        described = ET.SubElement(ET.SubElement(root, "desc"), "channels")
        for label in channels:
            ET.SubElement(ET.SubElement(described, "channel"), "label").text = xml_line(label)
    data: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return data

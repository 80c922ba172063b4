"""Who spoke when, as RTTM (NIST, Rich Transcription 2009, appendix A), which tools of diarisation read and score.

The rule of this file: fields are parted by spaces, so a name has none. RTTM has no place for words of an estimate: no
labels, neither estimated nor annotated.
"""

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import UniqueNames, span_ms
from erc_live.live.export.tiers import speaker_names

_CHANNEL = 1


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    view = export.view
    fields, lines = UniqueNames("{}_{}"), []
    names = {key: fields.take(_field(name)) for key, name in speaker_names(view, UniqueNames()).items()}
    for each in view.utterances:
        event = each.event
        start, end = span_ms(event.t_start_ns - view.start_ns, event.t_end_ns - view.start_ns)
        times = f"{start / 1000:.3f} {(end - start) / 1000:.3f}"
        name = names[each.speaker]
        lines.append(f"SPEAKER {_field(export.stem)} {_CHANNEL} {times} <NA> <NA> {name} <NA> <NA>\n")
    export.write_text(f"{export.stem}.rttm", "".join(lines))


def _field(text: str) -> str:
    """Without spaces, and without quotes, in which readers of tables see the beginning of a longer field."""
    return "_".join(text.replace('"', "'").split())

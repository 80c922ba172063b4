"""Sessions to export: any that Hypothesis makes, without a disk, and one on the disk with sound and everything odd."""

from contextlib import contextmanager
from pathlib import Path

import numpy as np
from examples import LABELS, event, hello, session_end
from hypothesis import strategies as st

from erc_live.live.export.exported import Export, ExportFolder
from erc_live.streams.annotations import Alert, Annotation
from erc_live.streams.conversation_view import ConversationView, conversation_view
from erc_live.streams.messages import AudioChunk, Gap, SourceEnd, Word
from erc_live.streams.record import Recorder
from erc_live.streams.session import RecordedSession, RecordedSource, new_manifest

SECOND = 1_000_000_000
WALL_NS = 1_790_000_000 * SECOND
ODD = 'Ann, "Zoë"\t李 <b>&amp;\r\n-->\u2028{x} \\N'
NAMES = ("Ann", "ann", "Ann +1", "Ann label", "marks", "", " ", 'Ben <&> "B"', "李小龙", "שרה", "a\nb", "x:y/z")
WORDS = ("", " ", "well", ODD, "=1+1", "a\n\nb", "2\n00:00:01,000 --> 00:00:02,000", "[x]", "</v>", "NA", "\x07\x1b[2J")


# Start and length in s, microphone, number and name of the speaker.
TALK = ((0, 1.5, "mic-0", 0, "Ann"), (1, 1, "mic 1", 1, "Ben"), (4, 1, "mic 1", 2, "Ann"), (5, 0.5, "mic-0", 0, "Ann"))


def event_of(seq: int, start_ns: int, length_ns: int, **fields):
    return event(seq, t_start_ns=start_ns, t_end_ns=start_ns + length_ns, **fields)


@st.composite
def sessions(draw) -> RecordedSession:
    """Speakers of one name, overlaps, words of any kind, labels that nobody knows, annotations of several people."""
    names = draw(st.lists(st.sampled_from(NAMES) | st.text(max_size=6), min_size=1, max_size=4))
    texts = st.sampled_from(WORDS) | st.text(max_size=12)
    labels = st.sampled_from((*LABELS, "bored & <tired>", "два слова"))
    messages = [hello()]
    for seq in range(draw(st.integers(0, 6))):
        speaker = draw(st.integers(0, len(names) - 1))
        label = draw(labels)
        share = draw(st.floats(0, 1))
        spans = draw(st.integers(0, 9 * SECOND)), draw(st.integers(0, 5 * SECOND))
        said = {"speaker": speaker, "speaker_name": names[speaker], "text": draw(texts), "label": label}
        said |= {"probs": {label: share, "neutral" if label != "neutral" else "joy": 1 - share}, "dialogue": "main"}
        said["certain"] = draw(st.booleans())
        said |= dict.fromkeys(("valence", "arousal"), draw(st.none() | st.floats(-1, 1)))
        word = Word(text=draw(texts), t_start_ns=spans[0], t_end_ns=sum(spans), confidence=None)
        messages.append(event_of(seq, *spans, words=(word,) if draw(st.booleans()) else (), **said))
        authors = draw(st.lists(st.sampled_from(["Ann Lee", "Бен"]), max_size=2))
        messages += [annotation("label", author, utterance=f"u{seq}", label=draw(labels)) for author in authors]
    times = draw(st.lists(st.integers(0, 9 * SECOND), max_size=2))
    messages += [annotation("mark", "Ann Lee", t_ns=t_ns, text=draw(texts)) for t_ns in times]
    gap = Gap(source="mic", t_start_ns=SECOND, t_end_ns=2 * SECOND, lost=1, cause="device")
    return RecordedSession(
        path=Path("talk"),
        manifest=new_manifest("s1", 0, WALL_NS, [RecordedSource(name="mic", kind="audio")], {}),
        segments=(), ends=(), gaps=(gap,) if draw(st.booleans()) else (), events=tuple(messages), features=(),
    )  # fmt: skip


def annotation(kind: str, author: str, t_ns: int = 0, **fields) -> Annotation:
    return Annotation(session="s1", t_ns=t_ns, wall_ns=WALL_NS, author=author, kind=kind, **fields)


@contextmanager
def exported(session: RecordedSession, folder: Path, stem: str = "talk"):
    """-> an `Export` whose files are in the folder when the block is left."""
    with ExportFolder(folder, force=True) as into:
        yield Export(session, conversation_view(session), into, stem)


def made(folder: Path, write, session: RecordedSession) -> ConversationView:
    with exported(session, folder) as export:
        write(export)
    return export.view


def tone(t_ns: int, samples: int, level: int) -> np.ndarray:
    at = np.arange(samples) + t_ns // 62_500
    return (level * np.sin(at / 7)).astype(np.int16)


def record(folder: Path, seconds: int = 6) -> Path:
    """Ann at a microphone of her own; Ben and the other Ann at a shared one, with a hole in it from 2 s to 3 s."""
    sources = [
        RecordedSource(name="mic-0", kind="audio", speaker="Ann"),
        RecordedSource(name="mic 1", kind="audio"),
        RecordedSource(name="camera-0", kind="video"),
    ]
    with Recorder(folder, new_manifest("s1", 0, WALL_NS, sources, {})) as recorder:
        recorder.write(hello())
        for n in range(seconds * 1000 // 32):
            t_ns = n * 32_000_000
            recorder.write(AudioChunk(source="mic-0", t_ns=t_ns, pcm=tone(t_ns, 512, 8000)))
            if not 2 * SECOND <= t_ns < 3 * SECOND:
                recorder.write(AudioChunk(source="mic 1", t_ns=t_ns, pcm=tone(t_ns, 512, 4000)))
        recorder.write(Gap(source="mic 1", t_start_ns=2 * SECOND, t_end_ns=3 * SECOND, lost=31, cause="device"))
        for seq, (start, length, source, speaker, name) in enumerate(TALK):
            span = round(start * SECOND), round(length * SECOND)
            recorder.write(event_of(seq, *span, source=source, speaker=speaker, speaker_name=name, text=ODD))
        recorder.write(annotation("label", "Eva", t_ns=SECOND, utterance="u1", label="bored to tears"))
        recorder.write(annotation("mark", "Eva", t_ns=SECOND, text="here"))
        recorder.write(Alert(session="s1", t_ns=SECOND, rule="r", on=True, text="loud"))
        for source in ("mic-0", "mic 1"):
            recorder.write(SourceEnd(source=source, t_ns=seconds * SECOND, reason="stopped"))
        recorder.write(session_end(4))
    return folder

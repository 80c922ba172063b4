"""A recorded session -> one page in a file, also of a bundle that was cut off or has nothing in it.

The rule of this file: what the bundle lacks stands on the page, and what cannot be put on it is said in a line.
"""

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from erc_live.live.report.page_file import page_html
from erc_live.live.report.page_rows import PageFigure, PageLack, PageSound
from erc_live.live.report.page_state import PageState
from erc_live.live.report.soundtrack import MAX_S, MIME, encode_opus, mixed, placed_sounds
from erc_live.streams.annotations import Annotation
from erc_live.streams.bundle_lock import is_locked
from erc_live.streams.bundle_losses import missing
from erc_live.streams.conversation_view import ConversationView, conversation_view
from erc_live.streams.errors import SessionError
from erc_live.streams.journal import write_whole
from erc_live.streams.messages import SCHEMA, Hello
from erc_live.streams.session import AudioSegment, RecordedSession, open_session

PAGE_BYTES = 3_000_000  # of a page with its sound; a larger sound lies beside it
SOUND_SUFFIX = ".sound.webm"  # no name that somebody's own recording has
GENERATOR = b'<meta name="generator" content="erc-live">'
_HEAD_BYTES = 2_000
_NS = 1e9

Progress = Callable[[float, float], None]  # seconds of the sound that are done, and of all


@dataclass(frozen=True)
class WrittenReport:
    """What was written: the `page`, how many `utterances` are on it, and `lines` that people should know."""

    page: Path
    utterances: int
    lines: tuple[str, ...]


def report(
    bundle: Path,
    page: Path,
    *,
    with_sound: bool = True,
    explanations: Mapping[str, str] | None = None,
    progress: Progress = lambda done, of: None,
) -> WrittenReport:
    """Write the page of a bundle to the file `page`, and beside it the sound where that is too large to be in it.

    `explanations`: utterance id -> an SVG document that says what moved its label. Raises SessionError where the bundle
    cannot be read, or the page cannot be written.
    """
    session = open_session(bundle)
    if not _is_ours(page):  # before the work, which may take a minute
        raise SessionError(f"{page}: is there already, and is no report; name another place with -o")
    view = conversation_view(session)
    state = PageState(view.start_ns, wall=(view.start_ns, view.start_wall_ns))
    _feed(state, session, view)
    lacks = _lacks(session)
    sound = _sound(session, view.start_ns, lacks, progress) if with_sound else b""
    for number, text in enumerate(lacks):
        state.put("lacks", str(number), PageLack(text=text))
    for utterance, svg in (explanations or {}).items():
        state.put("why", utterance, PageFigure(svg=svg))
    state.put("sound", "all", PageSound(present=bool(sound), text=_no_sound(session, with_sound, sound)))
    return _write(state, page, sound, len(view.utterances), lacks)


def _feed(state: PageState, session: RecordedSession, view: ConversationView) -> None:
    """What the session says at its end. The stamps of an utterance are those of its first final event."""
    manifest = session.manifest
    if view.hello is None:
        greeting = Hello(
            schema=SCHEMA,
            session=manifest.session,
            t_ns=manifest.t_ns,
            wall_ns=manifest.wall_ns,
            labels=manifest.labels,
            speakers=(),
            model="",
            notice="",
            last_seq=-1,
        )
        state.feed(greeting)
    if not manifest.closed:
        state.say("cut off", "the recording was not closed")
    for message in session.events:
        if not isinstance(message, Annotation) and getattr(message, "final", True):
            state.feed(message)
    for spoken in view.utterances:
        for message in (spoken.event, *spoken.annotations):
            state.feed(message)
    for message in (*view.names, *view.marks, *view.gaps):
        state.feed(message)


def _lacks(session: RecordedSession) -> list[str]:
    lines = missing(session.path)
    if is_locked(session.path):
        return ["the session is still being recorded: this is what is there so far", *lines]
    if not session.manifest.closed:
        cut = "the recording was cut off: up to its last 10 seconds of sound may be missing, and what was being said"
        return [f"{cut} (erc-live session recover makes it whole)", *lines]
    return lines


def _sound(session: RecordedSession, t0_ns: int, lacks: list[str], progress: Progress) -> bytes:
    """The sound of all microphones; nothing where none was recorded."""
    segments = [segment for segment in session.segments if isinstance(segment, AudioSegment)]
    length_s = max((segment.t_end_ns - t0_ns for segment in segments), default=0) / _NS
    if not segments:
        return b""
    if length_s > MAX_S:
        lacks.append(f"the sound: it spans {length_s / 3600:.0f} hours, and a page has {MAX_S / 3600:.0f} at most")
        return b""
    try:
        sounds = placed_sounds(session, t0_ns, lacks, lambda done_s: progress(done_s, length_s))
        return encode_opus(mixed(sounds))
    except ImportError:
        lacks.append("the sound: PyAV is not installed here (pip install av)")
        return b""


def _no_sound(session: RecordedSession, with_sound: bool, sound: bytes) -> str:
    if sound:
        return ""
    recorded = any(isinstance(segment, AudioSegment) for segment in session.segments)
    if recorded and not with_sound:
        return "The sound was left out of this page."
    return "The sound could not be added." if recorded else "No sound was recorded."


def _write(state: PageState, page: Path, sound: bytes, utterances: int, lacks: list[str]) -> WrittenReport:
    _, items = state.changes(0)
    lines = []
    uri = f"data:{MIME};base64,{base64.b64encode(sound).decode()}" if sound else ""
    written = {page: page_html(items, sound=uri)}
    beside = page.with_suffix(SOUND_SUFFIX)
    if sound and len(written[page]) > PAGE_BYTES:
        written = {beside: sound, page: page_html(items, sound=quote(beside.name))}
        lines.append(f"{beside}: the sound, {len(sound) / 1e6:.1f} MB, is too large for one page; keep both together")
    if not utterances:
        lines.append("no utterance was classified in this session; the page has what else is known of it")
    lines += [f"missing: {lack}" for lack in lacks]
    try:
        if page.exists() and beside not in written:
            beside.unlink(missing_ok=True)  # the sound of the earlier report, which this one takes the place of
        for file, data in written.items():
            write_whole(file, data)
    except OSError as error:
        raise SessionError(f"{page}: cannot be written: {error.strerror}; name another place with -o") from error
    return WrittenReport(page, utterances, tuple(lines))


def _is_ours(page: Path) -> bool:
    """Whether the page may be written: nothing is there, or an earlier report."""
    try:
        with page.open("rb") as file:
            return GENERATOR in file.read(_HEAD_BYTES)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise SessionError(f"{page}: cannot be written: {error.strerror}; name another place with -o") from error

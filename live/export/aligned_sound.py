"""The sound of a session as tracks that all begin and end with it: what was not recorded is silence.

A microphone that one person has is that person's track. Of a shared one there is a track of all it picked up, and one
of each speaker, in which everything but their utterances is silence.
The rule of this file: nothing is longer in memory than a second, however long the session. Stamps of chunks jitter by
some ms; samples are moved only where they would lie further off than half a chunk (16 ms).
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from erc_live.live.export.plain_text import UniqueNames, file_part
from erc_live.streams.conversation_view import ConversationView, SpeakerKey
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import CHUNK_SAMPLES, SAMPLE_RATE_HZ, samples_to_ns
from erc_live.streams.session import AudioSegment, RecordedSession
from erc_live.streams.spans import Span, merged

BLOCK = SAMPLE_RATE_HZ  # samples; a second
LONGEST_S = 7 * 86_400  # a session that seems longer has a stamp that is wrong
_SAMPLE_NS = samples_to_ns(1)


@dataclass(frozen=True)
class SoundTrack:
    """One file of sound. `speaker_name` is None for all that a shared microphone picked up, and `speakers` is empty
    then; else they are whose utterances it has. `spans` (samples): where it is not silent; None: anywhere.
    """

    name: str
    source: str
    speaker_name: str | None = None
    speakers: tuple[SpeakerKey, ...] = ()
    spans: tuple[Span, ...] | None = None


def sound_tracks(session: RecordedSession, view: ConversationView) -> list[SoundTrack]:
    """All tracks, those of a microphone one after the other; their names are parts of file names, each once."""
    owners = {source.name: source.speaker for source in session.manifest.sources}
    names, tracks = UniqueNames("{}-{}"), []
    for kind, source in session.tracks():
        if kind != "audio":
            continue
        place = file_part(source) or "microphone"
        owner, spoken = owners.get(source, ""), _spoken(view, source)
        if owner:
            name = ".".join(part for part in (place, file_part(owner)) if part)
            tracks.append(SoundTrack(names.take(name), source, owner, tuple(spoken)))
            continue
        tracks.append(SoundTrack(names.take(place), source))
        for key, spans in spoken.items():
            speaker_name = view.speakers[key]
            name = f"{place}.{file_part(speaker_name) or f'speaker_{key[1] + 1}'}"
            tracks.append(SoundTrack(names.take(name), source, speaker_name, (key,), spans))
    return tracks


def length(view: ConversationView) -> int:
    """Samples of every track. Raises SessionError where no session can be so long."""
    samples = -((view.start_ns - view.end_ns) // _SAMPLE_NS)
    if samples > LONGEST_S * SAMPLE_RATE_HZ:
        raise SessionError(
            f"its times span {samples // SAMPLE_RATE_HZ // 86_400} days, which no recording does: a time in it is wrong"
        )
    return samples


def aligned(session: RecordedSession, view: ConversationView, source: str, missing: list[str]) -> Iterator[np.ndarray]:
    """The sound of a microphone from the start of the session to its end, in pieces of a second. Shapes: (n,) int16.

    Segments that cannot be read are silence, and named in `missing`.
    """
    return _in_blocks(_pieces(session, view, source, missing))


def masked(block: np.ndarray, at: int, spans: Sequence[Span] | None) -> np.ndarray:
    """The samples from number `at` on, silent where no span is."""
    if spans is None:
        return block
    out = np.zeros_like(block)
    for start, end in spans[max(0, bisect_right(spans, (at, 0)) - 1) :]:
        if start >= at + len(block):
            break
        part = slice(max(start - at, 0), max(end - at, 0))
        out[part] = block[part]
    return out


def _spoken(view: ConversationView, source: str) -> dict[SpeakerKey, tuple[Span, ...]]:
    """Who speaks at a microphone, and where."""
    spans: defaultdict[SpeakerKey, list[Span]] = defaultdict(list)
    for each in view.utterances:
        if each.event.source == source:
            times = (each.event.t_start_ns, each.event.t_end_ns)
            start, end = (_sample_at(t_ns - view.start_ns) for t_ns in times)
            spans[each.speaker].append((start, end))
    return {key: merged(each) for key, each in spans.items()}


def _pieces(session: RecordedSession, view: ConversationView, source: str, missing: list[str]) -> Iterator[np.ndarray]:
    at, total = 0, length(view)
    for start, pcm in _chunks(session, view, source, missing):
        if abs(start - at) > CHUNK_SAMPLES // 2:
            yield from _silence(start - at)
            pcm = pcm[max(0, at - start) :]  # what was recorded twice counts once
            at = max(at, start)
        pcm = pcm[: total - at]
        at += len(pcm)
        yield pcm
    yield from _silence(total - at)


def _chunks(
    session: RecordedSession, view: ConversationView, source: str, missing: list[str]
) -> Iterator[tuple[int, np.ndarray]]:
    """Number of the first sample, and samples, of each chunk in the order of time."""
    own = [each for each in session.segments if isinstance(each, AudioSegment) and each.source == source]
    for segment in sorted(own, key=lambda each: each.t_first_ns):
        times = [run.t_ns + samples_to_ns(run.samples * number) for run in segment.runs for number in range(run.chunks)]
        try:
            for t_ns, pcm in zip(times, session.samples(segment), strict=True):
                yield _sample_at(t_ns - view.start_ns), pcm
        except SessionError as error:
            missing.append(f"{error}; it is silence here")


def _in_blocks(pieces: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    rest: list[np.ndarray] = []
    for piece in pieces:
        rest.append(piece)
        if sum(map(len, rest)) >= BLOCK:
            whole = np.concatenate(rest)
            cut = len(whole) - len(whole) % BLOCK
            yield from np.split(whole[:cut], cut // BLOCK)
            rest = [whole[cut:]]
    if any(map(len, rest)):
        yield np.concatenate(rest)


def _silence(samples: int) -> Iterator[np.ndarray]:
    while samples > 0:
        yield np.zeros(min(samples, BLOCK), np.int16)
        samples -= BLOCK


def _sample_at(t_ns: int) -> int:
    """The nearest sample, counted from the start of the session."""
    return (t_ns + _SAMPLE_NS // 2) // _SAMPLE_NS

"""Recorded sessions whose labels people corrected, as dialogues of a corpus.

An utterance has the label that people gave it. One that nobody judged has none and is context, for an estimate is no
label; `reviewed` says that somebody went through the whole session, so that what was left alone is right.
A long session is cut at its pauses into dialogues, so that one session gives both train and dev.
What serves training is taken along: words, order, speakers, times, the recorded prosody, and the sound of each
utterance as a clip, of which the voice is measured. Of a session that judged words alone (`session.text_only`) there is
no sound, and of none are there pictures.
The rule of this file: no more than a second of sound, and the utterances in it, are in memory at once.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from erc_live.live.export.aligned_sound import BLOCK, aligned
from erc_live.live.export.plain_text import UniqueNames, one_line
from erc_live.live.export.tiers import speaker_names
from erc_live.models.corpora.dialogue import PROSODY, Dialogue, Utterance
from erc_live.models.encoders.audio import ProsodyEncoder
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView, conversation_view
from erc_live.streams.media import encode_flac
from erc_live.streams.messages import SAMPLE_RATE_HZ, samples_to_ns
from erc_live.streams.session import RecordedSession, open_session

SOUND = "sound"  # folder of the clips in the corpus
# Utterances in a dialogue: more than the default network looks back, fewer of short sessions.
_MOST = (40, 20, 10, 5, 2)
_ENOUGH = 2  # dialogues; fewer cannot be both train and dev
_SHORTEST = SAMPLE_RATE_HZ // 10  # samples of a clip; nothing can be measured in less


@dataclass(frozen=True)
class CorrectedSession:
    """A session as dialogues; `clips` are the files of the utterances' sound that `write_clips` makes."""

    session: RecordedSession
    view: ConversationView
    dialogues: tuple[Dialogue, ...]
    clips: Mapping[str, AnnotatedUtterance]
    annotated: int  # utterances that people gave a label
    changed: int  # those of them whose label is not the estimate


def corrected_session(path: Path, name: str, corpus: Path, reviewed: bool) -> CorrectedSession:
    """The dialogues of a bundle that hold a label.

    Args:
        path: of the bundle.
        name: of the session in the corpus.
        corpus: where the corpus will be; paths of clips lead there.
        reviewed: whether an estimate that nobody corrected counts as a label.

    Raises:
        SessionError: it is no bundle.
    """
    session = open_session(path)
    view = conversation_view(session)
    utterances = _utterances(session, view, reviewed)
    clips = _with_sound(session, view)
    names = {spoken.event.utterance: f"{SOUND}/{name}/{number:05}.flac" for number, spoken in enumerate(clips)}
    with_clips = [
        replace(each, audio=corpus / file if (file := names.get(spoken.event.utterance)) else None)
        for spoken, each in zip(view.utterances, utterances, strict=True)
    ]
    dialogues = _dialogues(with_clips, name)
    there = {utterance.audio for dialogue in dialogues for utterance in dialogue.utterances}
    judged = [spoken for spoken in view.utterances if spoken.label_annotated is not None]
    return CorrectedSession(
        session=session,
        view=view,
        dialogues=dialogues,
        clips={
            names[spoken.event.utterance]: spoken for spoken in clips if corpus / names[spoken.event.utterance] in there
        },
        annotated=len(judged),
        changed=sum(spoken.label_annotated != spoken.event.label for spoken in judged),
    )


def write_clips(corrected: CorrectedSession, folder: Path, missing: list[str]) -> None:
    """The sound of the utterances, below the folder of the corpus. What cannot be read is silent, and in `missing`."""
    by_source: defaultdict[str, list[tuple[str, AnnotatedUtterance]]] = defaultdict(list)
    for file, spoken in corrected.clips.items():
        by_source[spoken.event.source].append((file, spoken))
    for source, wanted in by_source.items():
        blocks = aligned(corrected.session, corrected.view, source, missing)
        for file, pcm in _cut_out(blocks, [(file, *_span(corrected.view, spoken)) for file, spoken in wanted]):
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_flac(pcm))


def _utterances(session: RecordedSession, view: ConversationView, reviewed: bool) -> list[Utterance]:
    names, prosody = speaker_names(view, UniqueNames()), _prosody(session)
    out = []
    for spoken in view.utterances:
        event = spoken.event
        label = spoken.label_annotated or (event.label if reviewed else None)
        out.append(
            Utterance(
                speaker=names[spoken.speaker],
                text=one_line(event.text),
                label=one_line(label) or None if label else None,
                start_s=(event.t_start_ns - view.start_ns) / 1e9,
                end_s=max(event.t_start_ns, event.t_end_ns) / 1e9 - view.start_ns / 1e9,
                prosody=prosody.get(event.utterance),
            )
        )
    return out


def _prosody(session: RecordedSession) -> dict[str, tuple[float, ...]]:
    """By utterance, of those whose prosody was measured as it is today."""
    recipe = ProsodyEncoder().fingerprint
    return {
        features.utterance: tuple(features.vectors["audio"][: len(PROSODY)].tolist())
        for features in session.features
        if "audio" in features.vectors and features.encoders.get("audio", "").partition("+")[0] == recipe
    }


def _with_sound(session: RecordedSession, view: ConversationView) -> list[AnnotatedUtterance]:
    """The utterances of which there is sound that a model of emotion may have."""
    section = session.manifest.config.get("session")
    if isinstance(section, dict) and section.get("text_only"):
        return []
    recorded = {source for kind, source in session.tracks() if kind == "audio"}
    return [
        spoken
        for spoken in view.utterances
        if spoken.event.source in recorded and np.diff(_span(view, spoken))[0] >= _SHORTEST
    ]


def _dialogues(utterances: Sequence[Utterance], name: str) -> tuple[Dialogue, ...]:
    """Those that hold a label: cut as long as leaves enough of them, and where nothing does, as long as can be."""
    cuts = [_labelled(utterances, most) for most in _MOST]
    pieces = next((cut for cut in cuts if len(cut) >= _ENOUGH), cuts[0])
    return tuple(Dialogue(f"{name}-{number:03}", tuple(piece)) for number, piece in enumerate(pieces, 1))


def _labelled(utterances: Sequence[Utterance], most: int) -> list[list[Utterance]]:
    return [piece for piece in _pieces(utterances, most) if any(utterance.label for utterance in piece)]


def _pieces(utterances: Sequence[Utterance], most: int) -> Iterator[list[Utterance]]:
    """Pieces of at most so many utterances, cut where the pause is longest in the second half of what is possible."""
    rest = list(utterances)
    while len(rest) > most:
        places = range(most // 2 or 1, most + 1)
        cut = max(places, key=lambda place: (rest[place].start_s or 0) - (rest[place - 1].end_s or 0))
        yield rest[:cut]
        rest = rest[cut:]
    if rest:
        yield rest


def _span(view: ConversationView, spoken: AnnotatedUtterance) -> tuple[int, int]:
    """First sample, and the one after the last, from the start of the session."""
    start, end = (t_ns - view.start_ns for t_ns in (spoken.event.t_start_ns, spoken.event.t_end_ns))
    return start // samples_to_ns(1), end // samples_to_ns(1)


def _cut_out(blocks: Iterator[np.ndarray], wanted: Sequence[tuple[str, int, int]]) -> Iterator[tuple[str, np.ndarray]]:
    """The samples of each stretch (name, first, after the last), as soon as they are there."""
    waiting = sorted(wanted, key=lambda stretch: stretch[1], reverse=True)
    open_stretches: list[tuple[str, int, int, list[np.ndarray]]] = []
    at = 0
    for block in blocks:
        while waiting and waiting[-1][1] < at + BLOCK:
            open_stretches.append((*waiting.pop(), []))
        for _, start, end, parts in open_stretches:
            parts.append(block[max(start - at, 0) : max(end - at, 0)])
        at += len(block)
        yield from ((name, np.concatenate(parts)) for name, _, end, parts in open_stretches if end <= at)
        open_stretches = [stretch for stretch in open_stretches if stretch[2] > at]

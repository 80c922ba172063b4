"""What was analysed becomes utterances of a conversation: who spoke, whose face that was, and the text vector.

This is the only part of perception that remembers what was said, by whom, and where they sat. It stands where
utterances are released, for only there is their order that of the conversation; so live and replay read the same past.
Provisional utterances are described from that past too, and leave no trace in it.

Who speaks is asked of one small pure object (`live/speakers/clustering.py`), here and in this order. When voices turn
out to be others than was thought, the conversation goes back to the first utterance that is concerned: a `Relabel`,
then everything from there on once more, each with a higher revision. So who subscribes needs one rule: the highest
revision counts. What a person said is kept, what it sounded like is not.
"""

from collections import deque
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from msgspec import structs

from erc_live.live.perception.endpointing import utterance_id
from erc_live.live.requests import Analysis, Appearance, RequestKind, VoicePart
from erc_live.live.speakers.clustering import Change, SpeakerClustering, Voice
from erc_live.live.vision.active_speaker import ActiveSpeaker
from erc_live.streams.clock import Clock
from erc_live.streams.messages import RELABEL_REACH, ClosedBy, Modality, Relabel, UtteranceFeatures, Word

DIALOGUE = "main"  # one conversation per session


class UtteranceEncoder(Protocol):
    """Words, with what was said before them, to vectors."""

    def encode_last(self, speakers: Sequence[str], texts: Sequence[str]) -> np.ndarray:
        """The vector (D_t,) of the last of these utterances, read with those before it; texts may be empty."""


class Conversation:
    """`describe` what was analysed, in the order in which it is released; stamps are of `clock`.

    `speakers` is None where one microphone is one voice. `start_ns`: session time at which the media begins, from which
    ids of utterances count. `context`: who said what before this conversation is heard, the newest last.
    """

    def __init__(
        self,
        encoder: UtteranceEncoder,
        speakers: SpeakerClustering | None,
        clock: Clock,
        start_ns: int,
        context: Sequence[tuple[str, str]] = (),
    ) -> None:
        self._encoder = encoder
        self._speakers = speakers
        self._faces = ActiveSpeaker()
        self._clock = clock
        self._start_ns = start_ns
        self._context = tuple(context)
        self._utterances: deque[UtteranceFeatures] = deque(maxlen=RELABEL_REACH)

    def describe(self, analysis: Analysis) -> list[UtteranceFeatures | Relabel]:
        """The utterances of an analysis, one for each voice, and what they change in those before."""
        out: list[UtteranceFeatures | Relabel] = []
        for number in range(len(analysis.parts)):
            features = self._with_text(self._utterance(analysis, number), self._utterances)
            out.append(features)
            if not features.final:
                continue
            self._utterances.append(features)
            for change in self._speakers.changes() if self._speakers else []:
                out += self._relabel(change)
        return out

    def _utterance(self, analysis: Analysis, number: int) -> UtteranceFeatures:
        """All of one part but its text vector."""
        request, part = analysis.request, analysis.parts[number]
        last = number == len(analysis.parts) - 1
        closed_by: ClosedBy = request.closed_by if last else "voice"
        utterance = request.utterance
        if number:
            utterance = utterance_id(request.source, part.t_start_ns - self._start_ns)
        voice = self._voice(analysis, part, utterance)
        final = request.kind == RequestKind.FINAL
        vectors: dict[Modality, np.ndarray] = {} if part.audio_vec is None else {"audio": part.audio_vec}
        face = self._faces.choose(voice.speaker_name or voice.voice, part.appearances, utterance if final else None)
        if face is not None:
            vectors["visual"] = face.vector
        return UtteranceFeatures(
            dialogue=DIALOGUE,
            utterance=utterance,
            source=request.source,
            speaker_name=voice.speaker_name,
            voice=voice.voice,
            speaker_confidence=voice.confidence,
            text=part.transcript.text,
            words=_words(part),
            text_confidence=part.transcript.confidence,
            engine=analysis.engine,
            skipped=analysis.skipped,
            t_start_ns=part.t_start_ns,
            t_end_ns=part.t_end_ns,
            t_closed_ns=request.t_closed_ns,
            closed_by=closed_by,
            t_text_ns=analysis.t_text_ns,
            t_features_ns=analysis.t_features_ns,
            vectors=vectors,
            face_coverage=part.face_coverage,
            encoders=dict(analysis.encoders),
            final=final,
            revision=0 if number else request.revision,
        )

    def _voice(self, analysis: Analysis, part: VoicePart, utterance: str) -> Voice:
        """Whom the microphone belongs to, whom the words name, or whose voice it is, in this order."""
        request = analysis.request
        name = request.speech.speaker_name or part.transcript.speaker
        if name is not None or self._speakers is None:
            return Voice(request.source, name)
        if request.kind != RequestKind.FINAL:
            return self._speakers.guess(request.source, part.embedding)
        return self._speakers.assign(request.source, utterance, part.embedding, part.t_start_ns, part.t_end_ns)

    def _with_text(self, features: UtteranceFeatures, before: Sequence[UtteranceFeatures]) -> UtteranceFeatures:
        """The same with its text vector; without one where nothing was recognised."""
        if not features.text.strip():
            return features
        spoken = [*self._context, *((_who(each), each.text) for each in (*before, features))]
        vector = self._encoder.encode_last(*zip(*spoken, strict=True))
        vectors = {**features.vectors, "text": vector}
        return structs.replace(features, vectors=vectors, t_features_ns=self._clock.now_ns())

    def _relabel(self, change: Change) -> list[UtteranceFeatures | Relabel]:
        """The change, and everything that was said from the first utterance on that it moves: with the faces that
        belong to the voices as they are known now.
        """
        past = list(self._utterances)
        confidences = dict(zip(change.moved, change.confidences, strict=False))
        faces = self._faces.relabel(change.moved, change.speaker_name or change.voice)
        first = next((i for i, features in enumerate(past) if features.utterance in change.moved), len(past))
        for i in range(first, len(past)):
            features = structs.replace(past[i], revision=past[i].revision + 1)
            if features.utterance in change.moved:
                features = structs.replace(
                    features,
                    voice=change.voice,
                    speaker_name=change.speaker_name,
                    speaker_confidence=confidences.get(features.utterance),
                )
            features = _with_face(features, faces.get(features.utterance))
            past[i] = self._with_text(features, past[:i])
        self._utterances = deque(past, maxlen=RELABEL_REACH)
        relabel = Relabel(
            t_ns=self._clock.now_ns(),
            dialogue=DIALOGUE,
            moved=change.moved,
            voice=change.voice,
            speaker_name=change.speaker_name,
            cause=change.cause,
        )
        return [relabel, *past[first:]]


def _with_face(features: UtteranceFeatures, face: Appearance | None) -> UtteranceFeatures:
    vectors = {modality: vector for modality, vector in features.vectors.items() if modality != "visual"}
    return structs.replace(features, vectors=vectors if face is None else {**vectors, "visual": face.vector})


def _who(features: UtteranceFeatures) -> str:
    return features.speaker_name or features.voice or features.source


def _words(part: VoicePart) -> tuple[Word, ...]:
    """The words with their times on the clock of the session, inside the utterance. Probabilities of a recogniser are
    rounded and may exceed 1 a little; a message with one that does would be refused.
    """
    return tuple(
        Word(
            text=word.text,
            t_start_ns=part.t_start_ns + round(word.start_s * 1e9),
            t_end_ns=part.t_start_ns + round(word.end_s * 1e9),
            confidence=None if word.confidence is None else min(max(word.confidence, 0.0), 1.0),
        )
        for word in part.transcript.words
    )

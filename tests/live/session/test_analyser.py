"""What is asked of the engines for a closed utterance, a guess and a draft, and what an budget spares."""

from dataclasses import dataclass, field, replace

import numpy as np
import pytest
from fakes import chunks, speech
from listening import TALK, asked, endpointer

from erc_live.live.asr.transcribers import NoWords, Transcript
from erc_live.live.perception.load_shedding import Budget
from erc_live.live.requests import RequestKind, TimedWord
from erc_live.live.session.analyser import Analyser, Engines
from erc_live.live.speakers.embedding import VoiceSegment
from erc_live.streams.clock import ManualClock
from erc_live.streams.messages import Recogniser, VideoFrame, samples_to_ns

FINAL = next(r for r in asked(endpointer("mic-0"), chunks("mic-0", TALK)) if r.kind == RequestKind.FINAL)
DRAFT = next(
    r for r in asked(endpointer("mic-0"), chunks("mic-0", speech((True, 60)))) if r.kind == RequestKind.PARTIAL
)
PRINT = np.ones(256, np.float32)


@dataclass
class FakeTranscriber:
    name: str = "fake"
    quick: bool = True
    language: str | None = None
    heard: list = field(default_factory=list)

    def transcribe(self, utterance):
        self.heard.append(utterance)
        return Transcript(f"{len(utterance.pcm)} samples", language=self.language)


class TwoVoices:
    """The second half of whatever is said is somebody else's."""

    def split(self, pcm):
        return VoiceSegment(0, len(pcm) // 2, PRINT), VoiceSegment(len(pcm) // 2, len(pcm), 2 * PRINT)


class Faces:
    def __init__(self):
        self.looked = []

    def describe(self, frames, pcm, t_start_ns):
        self.looked.append((len(frames), len(pcm), t_start_ns))
        return (), 0.0 if frames else None


class Names:
    fingerprint = "f"
    encoder = None


@pytest.fixture
def engines(monkeypatch):
    monkeypatch.setattr(Engines, "fingerprints", {"text": "t", "audio": "a"})
    return Engines(FakeTranscriber(), Names(), lambda pcm: np.full(15, len(pcm), np.float32), None, TwoVoices())


def analyse(engines, request, *budget):
    return Analyser(engines, ManualClock(7))(request, *budget)


def test_each_voice_is_a_part_with_its_own_words_sound_and_times(engines):
    analysis = analyse(engines, FINAL)
    one, two = analysis.parts
    half = len(FINAL.speech.pcm) // 2
    assert (one.t_start_ns, two.t_end_ns) == (FINAL.t_start_ns, FINAL.t_end_ns)
    assert one.t_end_ns == two.t_start_ns == FINAL.t_start_ns + samples_to_ns(half)
    assert [part.transcript.text for part in analysis.parts] == [
        f"{half} samples",
        f"{len(FINAL.speech.pcm) - half} samples",
    ]
    assert [part.embedding[0] for part in analysis.parts] == [1, 2]
    assert [part.audio_vec[0] for part in analysis.parts] == [half, len(FINAL.speech.pcm) - half]
    first, second = engines.transcriber.heard
    assert (first.start_s, second.end_s) == pytest.approx((FINAL.speech.start_s, FINAL.speech.end_s))
    assert (analysis.engine, analysis.encoders) == (Recogniser(name="fake"), {"text": "t", "audio": "a"})
    assert analysis.t_text_ns == analysis.t_features_ns == 7


def test_who_has_a_microphone_of_their_own_is_one_voice(engines):
    named = replace(FINAL, speech=replace(FINAL.speech, speaker_name="Ada"))
    assert [part.embedding for part in analyse(engines, named).parts] == [None]
    assert [part.embedding for part in analyse(replace(engines, voices=None), FINAL).parts] == [None]


def test_a_draft_is_of_the_voice_that_speaks_now_and_has_words_only_if_they_are_quick(engines):
    (part,) = analyse(engines, DRAFT).parts
    assert part.embedding[0] == 2
    assert part.transcript.text
    slow = replace(engines, transcriber=FakeTranscriber(quick=False))
    analysis = analyse(slow, DRAFT)
    assert analysis.parts[0].transcript.text == ""
    assert analysis.engine == Recogniser(name="fake", asked=False)
    assert slow.transcriber.heard == []
    assert analyse(slow, FINAL).parts[0].transcript.text


def test_effort_spares_words_and_pictures_and_takes_the_smaller_recogniser(engines):
    frames = tuple(
        VideoFrame(source="c", t_ns=FINAL.t_start_ns + i * 50_000_000, width_px=1, height_px=1, jpeg=b"")
        for i in range(12)
    )
    seen = replace(FINAL, frames=frames, speech=replace(FINAL.speech, speaker_name="Ada"))
    faces = Faces()
    engines = replace(engines, faces=faces, spare=FakeTranscriber("small"))
    given_up = analyse(engines, seen, Budget(words=False))
    assert (given_up.engine, given_up.skipped) == (Recogniser(name="fake", asked=False), True)
    assert analyse(engines, seen, Budget(small=True, max_frames=1)).engine.name == "small"
    assert analyse(engines, DRAFT, Budget(partial_words=False)).parts[0].transcript.text == ""
    (all_frames, *_), (few_frames, *_), _ = faces.looked
    assert few_frames == 1 < all_frames


def test_only_words_that_there_would_have_been_are_skipped(engines):
    none = Budget(words=False, partial_words=False)
    assert analyse(engines, FINAL, none).skipped
    assert not analyse(engines, FINAL).skipped
    assert not analyse(engines, DRAFT, none).skipped  # it is still being said
    assert not analyse(replace(engines, transcriber=NoWords()), FINAL, none).skipped


def test_words_of_another_language_are_told(engines):
    foreign = replace(engines, transcriber=FakeTranscriber(language="fr"))
    assert analyse(foreign, FINAL).engine == Recogniser(name="fake", languages=("fr",))
    assert analyse(replace(engines, transcriber=FakeTranscriber(language="en")), FINAL).engine == Recogniser(
        name="fake"
    )


def test_the_same_request_gives_the_same_answer_whatever_came_between(engines):
    def vectors(analysis):
        return [(p.transcript, p.audio_vec.tolist(), p.embedding.tolist()) for p in analysis.parts]

    first = analyse(engines, FINAL)
    analyse(engines, DRAFT)
    assert vectors(analyse(engines, FINAL)) == vectors(first)


@pytest.mark.parametrize("unseen", ["\u200b", "\u200b\ufeff \u2060", "\u00ad", " \n"])
def test_text_in_which_nothing_can_be_seen_is_no_text(engines, unseen):
    class Blank(FakeTranscriber):
        def transcribe(self, utterance):
            return Transcript(unseen, confidence=0.5, words=(TimedWord(unseen, 0.0, 0.2),))

    (first, _) = analyse(replace(engines, transcriber=Blank()), FINAL).parts
    assert first.transcript == Transcript("")

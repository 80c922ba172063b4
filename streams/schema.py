"""The public stream as one JSON Schema (draft 2020-12): for programs that read the events without this package.

Types, ranges and required fields come from the annotations in `messages.py`; the words are here, in one place. Fields
that it does not name are allowed, because later versions may add some.
"""

from typing import Any

from erc_live.streams import codec
from erc_live.streams.messages import SCHEMA, Heartbeat, PublicEvent

_STAMP = "ns on the clock of the session"

FIELDS = {
    "type": "which message this is",
    "schema": "the version of this document; within a version fields may be added, none is changed or taken away",
    "session": "id of the session",
    "t_ns": f"when this was sent, {_STAMP}",
    "wall_ns": "the same instant as t_ns, in ns since 1970-01-01 00:00 UTC: turns every other stamp into wall time",
    "labels": "all labels that the model tells apart, in its order",
    "speakers": "display names so far; the place in the list is the number in the field speaker",
    "model": "fingerprint of the emotion model",
    "notice": "what people must be told before they are listened to, in words",
    "last_seq": "seq of the last event before this message, -1 if there was none",
    "published": "how many messages of each topic were sent before this one, hello and heartbeat apart; null of "
    "publishers that send no heartbeat",
    "seq": "number of the event in the stream, from 0; a jump means that events were missed",
    "dialogue": "id of the conversation",
    "utterance": "id of the utterance; a provisional event and the final one that follows share it",
    "index": "number of the utterance in its dialogue, from 0",
    "source": "the microphone, camera, file or topic this came from",
    "speaker": "number of the speaker, from 0 in order of first appearance",
    "speaker_name": "display name of the speaker",
    "text": "what was said, as recognised",
    "label": "the most probable label",
    "probs": "probability of each label; they sum to 1",
    "certain": "false where the most probable label is so improbable that the model would rather abstain",
    "entropy": "uncertainty of probs, in nats: 0 is certain, ln(number of labels) is a guess",
    "shift": "whether label differs from the speaker's previous one; null for a speaker's first utterance",
    "valence": "of what is expressed, from -1 (unpleasant) to 1 (pleasant): what the model learnt from ratings, if "
    "learnt of Hello names it, else the mean place of the labels, weighted by probs; null where a label has no place",
    "arousal": "as valence, from -1 (calm) to 1 (excited)",
    "modalities": "what the decision rests on",
    "face_coverage": "share of the sampled pictures of the utterance that showed a face; null without a camera",
    "final": "false if a later event will replace this one",
    "revision": "counts the events of one utterance, from 0",
    "engine": "what recognised the words",
    "name": "engine, model and device of the recogniser",
    "asked": "false where the recogniser was not asked: of provisional events, and where the machine was too slow",
    "languages": "languages of the words, where they are not the one that the emotion model learnt from",
    "t_start_ns": f"where the utterance, or the gap, begins; {_STAMP}",
    "t_end_ns": f"where it ends; {_STAMP}",
    "t_closed_ns": f"when the end of the utterance was noticed; {_STAMP}",
    "t_text_ns": f"when its text was there; {_STAMP}",
    "t_features_ns": f"when its features were there; {_STAMP}",
    "t_logits_ns": f"when its label was there; {_STAMP}",
    "t_published_ns": f"when it was sent; {_STAMP}; null where that was not noted",
    "skipped": "of an event: there is no text because the machine did not keep up, and not because nothing was "
    "recognised. Of a session: how many utterances that is true of",
    "words": "the words of text with their times, where the recogniser gives them",
    "confidence": "the recogniser's own probability of the word; null if unknown",
    "text_confidence": "how probable it is that what the recogniser misheard leaves the label as it is; "
    "null if unknown, or somebody wrote the words",
    "speaker_confidence": "how sure it is whose voice on a shared microphone this is; null where the microphone or the "
    "words say who speaks, or nothing could be told from the sound",
    "moved": "ids of the utterances that turned out to be another speaker's",
    "voice": "which voice of a microphone this is, if it tells several apart",
    "level": "how many things are given up for speed: 0 is all is well",
    "step": "what was given up, or taken up again, in words",
    "waiting_s": "how long the oldest utterance waits to be worked on, in s",
    "lost": "of a gap: how many messages or device blocks (of cause overload: utterances) are missing; 0 if unknown. "
    "Of a process that died, and of a session: how many utterances were begun or closed and never classified, as far "
    "as is known",
    "worker": "the process that died, or no longer answered and was ended",
    "consequence": "what follows for the session",
    "restarts": "how often one of its kind was started anew, this time included",
    "gaps": "how many gaps there were",
    "gaps_ns": "how long those of microphones were together, in ns",
    "cause": "of a gap: the device delivered nothing, its reader was too slow, the process that captured it died, it "
    "was not finished before the end, people paused it, or had it taken out; "
    "of a relabelling: two voices turned out to be one, or an utterance had been given to the wrong one",
    "utterances": "how many utterances were classified",
    "reason": "why the session ended, or the process died",
    "deaths": "how often a process of the session died",
    "language": "of the notice, a code like en",
    "purpose": "what the session is for: own-use, research, medical, safety, entertainment or accessibility; empty "
    "where that was not said",
    "setting": "where it takes place, where that matters to the law: workplace, education or other",
    "controller": "who is responsible for the session; empty where that was not said",
    "contact": "how they can be reached",
    "learnt": "those of valence and arousal that the model learnt from ratings by people; the others are the places of "
    "the labels",
    "author": "who made the annotation: a name, or the program that sent it",
    "kind": "of an annotation: a mark is a moment with a note, a name says how a speaker is called, a label says what "
    "its author takes the expression of an utterance for; the estimate stays as it is",
    "rule": "name of the rule of the configuration",
    "on": "whether the rule holds from t_ns on, or no longer",
    "value": "the number that the rule compares; null where it compares none",
    "recording": "whether the session is being written to disk",
    "paused": "whether nothing is listened to or looked at now",
    "note": "why nothing was heard, or how much of a transcript was never used; empty if there is nothing to say",
}


def event_schema() -> dict[str, Any]:
    """One document that any message of the public stream fulfils, as published for version `SCHEMA`."""
    document = codec.json_schema(PublicEvent | Heartbeat)
    for message in document["$defs"].values():
        message["description"] = " ".join(message["description"].replace("`", "").split())
        for name, field in message["properties"].items():
            field["description"] = FIELDS[name]
            if name == "schema":
                field["const"] = SCHEMA
            if field.get("default") == ():
                field["default"] = []  # as JSON has it
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:erc-live:{SCHEMA}",
        "title": "A message of the erc-live event stream",
        "description": "Times are integers, in ns on the clock of the session; Hello ties that clock to wall time. "
        "Labels are estimates of expressed emotion, not of what a person feels.",
        **document,
    }

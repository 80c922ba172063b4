"""A dialogue goes back to before an utterance that turned out to be somebody else's: its state of then, from the log.

A session keeps a copy of the state before each utterance. Of a thousand dialogues that would be gigabytes, so here the
state comes from the last snapshot before the utterance, and the utterances between the two, observed once more. They
are observed alone, and may round otherwise than they did among others: so what comes out is written down as a snapshot
of its own, from which recovery goes on.
The rule of this file: it reads the log, and writes nothing; where it cannot go back, the dialogue stays as it was.
"""

import logging
from dataclasses import replace

import msgspec

from erc_live.live.serving import dialogue_records as records
from erc_live.live.serving.open_dialogue import OpenDialogue
from erc_live.live.tracking.tracker import DialogueMemory, Tracker
from erc_live.models.state import from_bytes
from erc_live.streams import codec
from erc_live.streams.messages import RELABEL_REACH, Relabel, UtteranceFeatures
from erc_live.streams.segmented_log import RecordLog

log = logging.getLogger(__name__)


class _InputHead(msgspec.Struct):
    utterance: str


def go_back(tracker: Tracker, stored: RecordLog, known: OpenDialogue, relabel: Relabel) -> str:
    """Forget the first of the utterances that moved, and all after it, as `Tracker.go_back` does. Returns why that
    cannot be, "" where it is done. Raises SessionError where the log cannot be read.
    """
    memory = tracker.memory(relabel.dialogue)
    begin = memory.utterances - len(known.inputs)  # the number of the first whose features are known
    first = _first(stored, known, relabel)
    if first is None:
        return f"these are not among its last {RELABEL_REACH} utterances that the log has: the dialogue stays as it was"
    number = begin + first
    here = [one for one in known.snapshots if begin <= one[0] <= number and records.where(one[1])[0] >= stored.begin]
    if here:
        after, place = here[-1]
        _restore(tracker, relabel.dialogue, stored.read(*records.where(place)))
    elif begin == 0 and records.where(known.inputs[0])[0] >= stored.begin:
        after = 0
        tracker.take_out(relabel.dialogue)
    else:
        return f"utterance {number} lies further back than the log reaches: the dialogue stays as it was"
    for place in known.inputs[after - begin : first]:
        _observe(tracker, stored.read(*records.where(place)))
    # numbers of speakers stay as they are
    then = replace(tracker.memory(relabel.dialogue), speakers=memory.speakers)
    tracker.put_in(relabel.dialogue, then, tracker.state(relabel.dialogue))
    known.inputs = known.inputs[:first]
    known.snapshots = [one for one in known.snapshots if one[0] <= number]
    return ""


def _first(stored: RecordLog, known: OpenDialogue, relabel: Relabel) -> int | None:
    """Which of the inputs is the first that moved. None where that is not known for sure: it lies before what is
    known, or may do so.
    """
    missing, first = set(relabel.moved), None
    within = range(max(0, len(known.inputs) - RELABEL_REACH), len(known.inputs))
    for number in reversed(within):
        offset, length = records.where(known.inputs[number])
        if offset < stored.begin:
            return None if missing else first
        utterance = msgspec.json.decode(stored.read(offset, length), type=_InputHead).utterance
        if utterance in relabel.moved:
            missing.discard(utterance)
            first = number
    return first


def _restore(tracker: Tracker, dialogue: str, data: bytes) -> None:
    snapshot = records.decode(data)
    assert isinstance(snapshot, records.Snapshot)
    like = tracker.state(dialogue)
    memory = DialogueMemory(snapshot.utterances, snapshot.speakers, snapshot.last_label)
    tracker.put_in(dialogue, memory, from_bytes(snapshot.state, like))


def _observe(tracker: Tracker, data: bytes) -> None:
    features = codec.from_json(data)
    assert isinstance(features, UtteranceFeatures)
    try:
        tracker.observe(features)
    except Exception:  # as it failed then
        log.exception("utterance %s of %s fails once more", features.utterance, features.dialogue)
        tracker.abstain(features)

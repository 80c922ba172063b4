"""Utterances that are classified together: what becomes one record of the log.

The rule of this file: what one utterance does wrong does not stop the others.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from erc_live.live.tracking.tracker import Tracker
from erc_live.streams import codec
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures
from erc_live.streams.segmented_log import RecordLog

log = logging.getLogger(__name__)


class Lot(NamedTuple):
    """Utterances that were classified together, and their events. `failure`: why not."""

    features: Sequence[UtteranceFeatures]
    events: Sequence[EmotionEvent]
    failure: str = ""


def classified(tracker: Tracker, dead_letters: RecordLog, utterances: Sequence[UtteranceFeatures]) -> list[Lot]:
    """All together; each alone where that fails, and what fails for the second time is a dead letter. Raises
    SessionError where these cannot be written.
    """
    if not utterances:
        return []
    try:
        return [Lot(utterances, tracker.observe_all(utterances))]
    except Exception:  # whatever it is, it must not stop the others
        log.exception("a step of %d dialogues failed; each is tried alone", len(utterances))
        return [_alone(tracker, dead_letters, utterance) for utterance in utterances]


def _alone(tracker: Tracker, dead_letters: RecordLog, utterance: UtteranceFeatures) -> Lot:
    try:
        return Lot([utterance], [tracker.observe(utterance)])
    except Exception as error:  # for the second time: it is the utterance
        why = f"{type(error).__name__}: {error}"
        dead_letters.append(b'{"why":%b,"features":%b}' % (msgspec.json.encode(why), codec.to_json(utterance)))
        return Lot([utterance], [tracker.abstain(utterance)], why)

"""The dialogues of a recorded session as the tracker saw them, and which weights labelled them.

The rule of this file: what was corrected counts as it was corrected; of each utterance, the last that was recorded.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from erc_live.live.explanation.heat_maps import svg
from erc_live.live.explanation.influence import Explanation
from erc_live.live.explanation.occlusion import explain_each
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.errors import WeightsError
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures
from erc_live.streams.session import RecordedSession, open_session


@dataclass(frozen=True)
class RecordedDialogues:
    """`dialogues`: by id, utterances in the order in which they were observed. `events`: by utterance, the last."""

    path: Path
    weights: str
    dialogues: dict[str, tuple[UtteranceFeatures, ...]]
    events: dict[str, EmotionEvent]

    def find(self, name: str | None) -> str:
        """The id of the utterance that a person means: an id, a number of the first dialogue, or the last one for None.

        Raises SessionError.
        """
        first = next(iter(self.dialogues.values()))
        if name is None:
            return first[-1].utterance
        if any(name == features.utterance for dialogue in self.dialogues.values() for features in dialogue):
            return name
        if name.isdecimal() and int(name) < len(first):
            return first[int(name)].utterance
        raise SessionError(f"{self.path}: no utterance {name}: there are 0 to {len(first) - 1}")

    def explain(self, utterances: Collection[str], checkpoint: Checkpoint) -> Iterator[Explanation]:
        """What moved the estimates of utterances, in one pass of each dialogue; ids that are not there are passed over.

        Raises WeightsError where other weights labelled them.
        """
        for dialogue in self.dialogues.values():
            wanted: dict[int, float | None] = {}
            for place, features in enumerate(dialogue):
                if features.utterance in utterances:
                    wanted[place] = self._recorded(features.utterance, checkpoint)
            yield from explain_each(dialogue, wanted, checkpoint)

    def _recorded(self, utterance: str, checkpoint: Checkpoint) -> float | None:
        """What the session gave the label. Raises WeightsError."""
        event = self.events.get(utterance)
        if event is None:
            return None
        if event.model != checkpoint.fingerprint:
            raise WeightsError(
                f"{self.path}: was labelled by the weights {event.model}, these are {checkpoint.fingerprint}: "
                "name the folder of those: --weights FOLDER"
            )
        return event.probs[event.label]


def drawings(recorded: RecordedDialogues, utterances: Collection[str], checkpoint: Checkpoint) -> dict[str, str]:
    """By id of the utterance, what moved its estimate as an SVG, for a page that shows several. Raises WeightsError."""
    return {each.utterance: svg(each) for each in recorded.explain(utterances, checkpoint)}


def recorded_dialogues(path: Path) -> RecordedDialogues:
    """Of the bundle at `path`, closed or cut off. Raises SessionError, also where it has no features."""
    session = open_session(path)
    latest = {f.utterance: f for f in session.features if f.final}  # in the order of first appearance
    if not latest:
        raise SessionError(f"{path}: holds no features, so nothing can be computed anew: record with --record")
    dialogues: dict[str, tuple[UtteranceFeatures, ...]] = {}
    for features in latest.values():
        dialogues[features.dialogue] = (*dialogues.get(features.dialogue, ()), features)
    events: dict[str, EmotionEvent] = {}
    for event in session.events:
        if isinstance(event, EmotionEvent) and event.final:
            events[event.utterance] = max(events.get(event.utterance, event), event, key=lambda e: e.revision)
    return RecordedDialogues(path, _weights(session), dialogues, events)


def _weights(session: RecordedSession) -> str:
    """The weights that its configuration names."""
    tracker = session.manifest.config.get("tracker")
    named = tracker.get("weights") if isinstance(tracker, dict) else None
    return named if isinstance(named, str) else "default"

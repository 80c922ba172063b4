"""The dialogues of a recorded session as the tracker saw them, and which weights labelled them.

The rule of this file: what was corrected counts as it was corrected; of each utterance, the last that was recorded.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from erc_live.live.explanation.heat_maps import svg
from erc_live.live.explanation.influence import Explanation, Influence
from erc_live.live.explanation.occlusion import explain_each
from erc_live.models.checkpoint import Checkpoint
from erc_live.models.errors import WeightsError
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView, conversation_view
from erc_live.streams.errors import SessionError
from erc_live.streams.messages import EmotionEvent, UtteranceFeatures
from erc_live.streams.session import RecordedSession, open_session

Named = TypeVar("Named", Explanation, Influence)


@dataclass(frozen=True)
class RecordedDialogues:
    """`dialogues`: by id, utterances in the order in which they were observed. `view`: what is known of them."""

    path: Path
    weights: str
    dialogues: dict[str, tuple[UtteranceFeatures, ...]]
    view: ConversationView

    @property
    def last(self) -> str:
        """The id of the last utterance of the first dialogue."""
        return next(iter(self.dialogues.values()))[-1].utterance

    def id_of(self, spoken: AnnotatedUtterance) -> str:
        """The id of an utterance that can be explained. Raises SessionError."""
        wanted = spoken.event.utterance
        if any(wanted == features.utterance for dialogue in self.dialogues.values() for features in dialogue):
            return wanted
        raise SessionError(f"{self.path}: holds no features of utterance {wanted}, so nothing can be computed anew")

    def explain(self, utterances: Collection[str], checkpoint: Checkpoint) -> Iterator[Explanation]:
        """What moved the estimates of utterances, in one pass of each dialogue; ids that are not there are passed over.

        Raises WeightsError where other weights labelled them.
        """
        spoken = {each.event.utterance: each for each in self.view.utterances}
        for dialogue in self.dialogues.values():
            wanted: dict[int, float | None] = {}
            for place, features in enumerate(dialogue):
                if features.utterance in utterances:
                    event = spoken[features.utterance].event if features.utterance in spoken else None
                    wanted[place] = self._recorded(event, checkpoint)
            yield from (_as_known(each, spoken) for each in explain_each(dialogue, wanted, checkpoint))

    def _recorded(self, event: EmotionEvent | None, checkpoint: Checkpoint) -> float | None:
        """What the session gave the label. Raises WeightsError."""
        if event is None:
            return None
        if event.model != checkpoint.fingerprint:
            raise WeightsError(
                f"{self.path}: was labelled by the weights {event.model}, these are {checkpoint.fingerprint}: "
                "name the folder of those: erc-live explain --weights FOLDER"
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
    dialogues: defaultdict[str, list[UtteranceFeatures]] = defaultdict(list)
    for features in latest.values():
        dialogues[features.dialogue].append(features)
    grouped = {name: tuple(dialogue) for name, dialogue in dialogues.items()}
    return RecordedDialogues(path, _weights(session), grouped, conversation_view(session))


def _as_known(explanation: Explanation, spoken: Mapping[str, AnnotatedUtterance]) -> Explanation:
    """With the numbers of the session, and the names that people gave; the network was asked with its own."""

    def known(each: Named) -> Named:
        counts = spoken.get(each.utterance)
        return each if counts is None else replace(each, index=counts.event.index, speaker_name=counts.speaker_name)

    return replace(known(explanation), influences=tuple(map(known, explanation.influences)))


def _weights(session: RecordedSession) -> str:
    """The weights that its configuration names."""
    tracker = session.manifest.config.get("tracker")
    named = tracker.get("weights") if isinstance(tracker, dict) else None
    return named if isinstance(named, str) else "default"

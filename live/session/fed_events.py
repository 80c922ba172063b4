"""The events of a server that decides for a session, as events of the session's own stream.

They are published here once more, and not only shown: whatever reads a session (dashboard, alerts, a recording,
`erc-live web`, bridges, subscribers) then knows one stream, and nothing of servers. It is no second truth, for nothing
is decided here: what the server says of an utterance stays as it is, and so do utterance and revision, by which an
event is known in both places. Of the session is only what tells where in its stream an event stands: session, `seq`,
`index`, the name of the dialogue, and the stamps from the decision on. The server stamps by its own clock, so
`t_logits_ns` is here when its decision has arrived.
The rule of this file: pure. What the session did not say itself (the dialogue may have a past) and what was published
here before is not published.
"""

from collections import OrderedDict
from typing import NamedTuple

from msgspec import structs

from erc_live.streams.messages import EmotionEvent, UtteranceFeatures

MOST_UTTERANCES = 20_000  # that are known again; more than a day of talk


class _Known(NamedTuple):
    """Of an utterance of this session: its dialogue, its place among the final ones (None: has none yet), and what was
    published last (final, revision).
    """

    dialogue: str
    place: int | None = None
    newest: tuple[bool, int] = (False, -1)


class FedEvents:
    """`expect` what perception says; `own` makes an event of the session of what the server says of it."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._finals = 0

    def expect(self, features: UtteranceFeatures) -> None:
        """The session has said this."""
        self._known.setdefault(features.utterance, _Known(features.dialogue))
        if len(self._known) > MOST_UTTERANCES:
            self._known.popitem(last=False)

    def own(self, event: EmotionEvent, seq: int, now_ns: int) -> EmotionEvent | None:
        """The event as number `seq` of the session's stream; None where it is not to be published."""
        known = self._known.get(event.utterance)
        if known is None or (event.final, event.revision) <= known.newest:
            return None
        index = self._finals if known.place is None else known.place
        self._finals = max(self._finals, index + event.final)
        self._known[event.utterance] = _Known(
            known.dialogue, index if event.final else known.place, (event.final, event.revision)
        )
        return structs.replace(
            event, dialogue=known.dialogue, session=self._session, seq=seq, index=index, t_logits_ns=now_ns
        )

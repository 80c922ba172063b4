"""What moved the estimate of one utterance: data for people, programs and drawings.

The rule of this file: no tensors. Numbers say what moved the *estimate* of the model; nobody's reasons are in them.
"""

import msgspec

from erc_live.streams.messages import Modality


class Influence(msgspec.Struct, frozen=True, kw_only=True):
    """What one utterance did to the estimate of the explained one, which is the last (`itself`).

    `whole` is log p(label) minus log p(label without it), in nats: above 0 it spoke for the label. A past utterance is
    taken out of the dialogue; of the explained one all modalities are masked. `modalities`: the same for each of its
    modalities masked alone. `attention`: the mean share of the heads that looks at it, by layer; empty where the
    network has none or does not look so far back.
    """

    utterance: str
    index: int
    speaker_name: str
    text: str
    itself: bool
    whole: float
    modalities: dict[Modality, float]
    attention: tuple[float, ...] = ()


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What moved the estimate of `utterance`, by the utterances before it.

    `influences`, oldest first, are all that could move it, or the last `LIMIT` of them if `bounded`. `probability` is
    computed anew; `recorded` is that of the session. `label` is the most probable one.
    """

    utterance: str
    index: int
    speaker_name: str
    text: str
    label: str
    probability: float
    recorded: float | None
    model: str
    influences: tuple[Influence, ...]
    bounded: bool

    def strongest(self, count: int) -> list[Influence]:
        """Those that moved the estimate most, the strongest first."""
        return sorted(self.influences, key=lambda influence: -abs(influence.whole))[:count]


def signed(nats: float) -> str:
    """A change for people, with its sign; nothing is 0.00.

    >>> signed(0.371), signed(-0.001)
    ('+0.37', '0.00')
    """
    text = f"{nats:+.2f}"
    return text[1:] if text[1:] == "0.00" else text

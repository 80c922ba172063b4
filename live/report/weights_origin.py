"""Where the labels of a session come from, as far as this installation knows the weights that gave them.

The rule of this file: of weights that are not those of erc-live nothing is claimed.
"""

from functools import lru_cache

from erc_live.models import card
from erc_live.models.errors import WeightsError


@lru_cache
def weights_origin(model: str) -> str:
    """One sentence about the weights of that fingerprint (`Hello.model`)."""
    for name in card.SHIPPED:
        try:
            shipped = card.read(name)
        except WeightsError:
            continue
        if model and shipped.hashes[card.WEIGHTS].startswith(model):
            corpora = ", ".join(map(str, shipped.card.training.get("corpora", ())))
            return (
                f"The weights of erc-live: their {len(shipped.card.labels)} labels were learnt from {corpora} "
                "(a sitcom: acted, English)."
            )
    return _UNKNOWN


_UNKNOWN = "Weights of somebody's own: what their labels were learnt from stands on the card beside them."

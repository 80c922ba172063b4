"""What earlier versions wrote, in the words of today's: a recording must be readable for as long as somebody keeps it.

Version 1 told the recogniser in one string, and had a field for each vector and all fingerprints in a string.
The rule of this file: pure, on decoded JSON; a version is written down here once, and never changed.
"""

from typing import Any

from erc_live.streams.messages import SCHEMA

_MODALITIES = ("text", "audio", "visual")


def migrated(fields: dict[str, Any]) -> dict[str, Any] | None:
    """The fields of a message of an earlier version as they are called now; None if it is of none."""
    kind = fields.get("type")
    if kind not in ("EmotionEvent", "UtteranceFeatures") or not isinstance(fields.get("engine"), str):
        return None
    new: dict[str, Any] = {"face_coverage": None, "final": True, "revision": 0}
    new |= {"words": [], "text_confidence": None, "skipped": False}
    new |= fields
    new["engine"] = _recogniser(fields["engine"])
    if kind == "EmotionEvent":
        return {"certain": True} | new | {"schema": SCHEMA}
    vectors = {modality: new.pop(f"{modality}_vec", None) for modality in _MODALITIES}
    new["vectors"] = {modality: vector for modality, vector in vectors.items() if vector is not None}
    new["encoders"] = dict(part.split("=", 1) for part in new.get("encoders", "").split())
    return new


def _recogniser(text: str) -> dict[str, Any]:
    """The recogniser of version 1: `NAME`, `NAME, not asked`, `NAME, not asked: why`, or `NAME, words in fr, de`."""
    name, asked, _ = text.partition(", not asked")
    name, _, languages = name.partition(", words in ")
    return {"name": name, "asked": not asked, "languages": languages.split(", ") if languages else []}

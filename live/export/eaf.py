"""ELAN annotation document, version 3.0 of its schema: tiers of words, and below each the labels that belong to it.

Labels and annotations are tied to the words (Symbolic_Association), so that ELAN moves them along.
The rule of this file: times are whole milliseconds, and each tier is free of overlaps, as ELAN demands.
"""

from collections.abc import Callable
from itertools import count
from xml.etree import ElementTree as ET

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import (
    UniqueNames,
    annotated_text,
    label_text,
    span_ms,
    xml_line,
)
from erc_live.live.export.tabular import time_text
from erc_live.live.export.tiers import Tier, tiers
from erc_live.streams.conversation_view import AnnotatedUtterance

_XSI = "http://www.w3.org/2001/XMLSchema-instance"
_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_MIME = {"wav": "audio/x-wav", "flac": "audio/flac"}
_BELOW = "Symbolic_Association"


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    document = _Document(export)
    names = UniqueNames()
    for tier in tiers(export.view, names):
        document.add(tier, names)
    document.add_marks(names)
    ET.indent(document.root)
    ET.ElementTree(document.root).write(
        export.folder.path(f"{export.stem}.eaf"), encoding="utf-8", xml_declaration=True
    )


class _Document:
    """Collects tiers; `root` is the document, once all are in it."""

    def __init__(self, export: Export) -> None:
        self._export = export
        self._annotations = count(1)
        self._slots = count(1)
        date = time_text(export.view.start_wall_ns) or "1970-01-01T00:00:00.000000+00:00"
        form = {"AUTHOR": "erc-live", "DATE": date, "FORMAT": "3.0", "VERSION": "3.0"}
        schema = {f"{{{_XSI}}}noNamespaceSchemaLocation": _SCHEMA}
        self._root = ET.Element("ANNOTATION_DOCUMENT", form | schema)
        self._header()
        self._order = ET.SubElement(self._root, "TIME_ORDER")

    @property
    def root(self) -> ET.Element:
        """With the types behind the tiers, where the schema wants them."""
        kinds = {"utterance": {"TIME_ALIGNABLE": "true"}, "label": {"TIME_ALIGNABLE": "false", "CONSTRAINTS": _BELOW}}
        for name, kind in kinds.items():
            common = {"LINGUISTIC_TYPE_ID": name, "GRAPHIC_REFERENCES": "false"}
            ET.SubElement(self._root, "LINGUISTIC_TYPE", common | kind)
        words = "1-1 association with a parent annotation"
        ET.SubElement(self._root, "CONSTRAINT", STEREOTYPE=_BELOW, DESCRIPTION=words)
        return self._root

    def add(self, tier: Tier, names: UniqueNames) -> None:
        """The words of a tier, its labels and, where there are any, its annotations."""
        element = self._tier(tier.name, "utterance", PARTICIPANT=xml_line(tier.speaker_name))
        parents = [
            self._aligned(element, interval.start_ms, interval.end_ms, interval.utterance.event.text)
            for interval in tier.intervals
        ]
        self._below(tier, parents, names.take(f"{tier.name} label"), label_text)
        if any(interval.utterance.annotations for interval in tier.intervals):
            self._below(tier, parents, names.take(f"{tier.name} annotated"), annotated_text)

    def add_marks(self, names: UniqueNames) -> None:
        """A tier of the marks; those of one instant follow each other."""
        view, free_ms = self._export.view, 0
        if not view.marks:
            return
        element = self._tier(names.take("marks"), "utterance")
        for mark in view.marks:
            at_ns = mark.t_ns - view.start_ns
            start_ms, _ = span_ms(at_ns, at_ns)
            start_ms = max(start_ms, free_ms)
            free_ms = start_ms + 1
            self._aligned(element, start_ms, free_ms, f"{mark.text} ({mark.author})")

    def _header(self) -> None:
        header = ET.SubElement(self._root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
        for name in self._export.sound_files:
            kind = _MIME[name.rpartition(".")[2]]
            ET.SubElement(
                header, "MEDIA_DESCRIPTOR", MEDIA_URL=f"./{name}", RELATIVE_MEDIA_URL=f"./{name}", MIME_TYPE=kind
            )

    def _tier(self, name: str, kind: str, **attributes: str) -> ET.Element:
        form = {"TIER_ID": xml_line(name), "LINGUISTIC_TYPE_REF": kind}
        return ET.SubElement(self._root, "TIER", form | attributes)

    def _aligned(self, tier: ET.Element, start_ms: int, end_ms: int, text: str) -> str:
        slots = [f"ts{next(self._slots)}" for _ in range(2)]
        for slot, at_ms in zip(slots, (start_ms, end_ms), strict=True):
            ET.SubElement(self._order, "TIME_SLOT", TIME_SLOT_ID=slot, TIME_VALUE=str(at_ms))
        times = {"TIME_SLOT_REF1": slots[0], "TIME_SLOT_REF2": slots[1]}
        return self._annotation(tier, "ALIGNABLE_ANNOTATION", times, text)

    def _below(self, tier: Tier, parents: list[str], name: str, text: Callable[[AnnotatedUtterance], str]) -> None:
        element = self._tier(name, "label", PARENT_REF=xml_line(tier.name), PARTICIPANT=xml_line(tier.speaker_name))
        for interval, parent in zip(tier.intervals, parents, strict=True):
            if content := text(interval.utterance):
                self._annotation(element, "REF_ANNOTATION", {"ANNOTATION_REF": parent}, content)

    def _annotation(self, tier: ET.Element, kind: str, attributes: dict[str, str], text: str) -> str:
        number = f"a{next(self._annotations)}"
        outer = ET.SubElement(tier, "ANNOTATION")
        inner = ET.SubElement(outer, kind, {"ANNOTATION_ID": number} | attributes)
        ET.SubElement(inner, "ANNOTATION_VALUE").text = xml_line(text)
        return number

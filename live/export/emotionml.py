"""EmotionML 1.0 (W3C Recommendation of 22 May 2014): an `emotion` for each estimate, and one for each annotation.

Times are Unix time in ms. The probabilities of an estimate are the `confidence` of its categories, of a vocabulary that
stands in the document. A name of a category is an XML name token: of a label that is none, the letters that can not be
in one are replaced, and the label itself stands in the `info` of its item. Valence and arousal are `pleasure` and
`arousal` of the vocabulary `pad-dimensions` (W3C Working Group Note "Vocabularies for EmotionML", after Mehrabian),
moved from [-1, 1] to [0, 1], where scales of EmotionML lie: 0.5 is the middle.
The rule of this file: whoever reads an `emotion` sees who says so: an estimate of a model, or a person.
"""

import re
from xml.etree import ElementTree as ET

from erc_live.live.export.exported import Export
from erc_live.live.export.plain_text import UniqueNames, milliseconds, xml_line
from erc_live.streams.conversation_view import AnnotatedUtterance, ConversationView

NAMESPACE = "http://www.w3.org/2009/10/emotionml"
OURS = "urn:erc-live:export"  # of what stands in `info`, where elements must be of another namespace
_VOCABULARY = "labels"
_DIMENSIONS = "http://www.w3.org/TR/emotion-voc/xml#pad-dimensions"
_NOT_NMTOKEN = re.compile(r"[^\w.:\u00b7-]")  # roughly XML 1.0, production 7: letters, digits and these
_THROUGH = {"text": "text", "audio": "voice", "visual": "face"}  # names that the recommendation gives (2.4.2)


def write(export: Export) -> None:
    """One file. Raises as `ExportFolder.path`."""
    view = export.view
    ET.register_namespace("", NAMESPACE)
    ET.register_namespace("erc", OURS)
    root = ET.Element(_tag("emotionml"), {"version": "1.0", "category-set": f"#{_VOCABULARY}"})
    if any(each.event.valence is not None for each in view.utterances):
        root.set("dimension-set", _DIMENSIONS)
    tokens = _tokens(view.labels)
    if tokens:  # a vocabulary has at least one item
        _add_vocabulary(root, tokens)
    for each in view.utterances:
        _add_estimate(root, view, each, tokens)
        for annotation in each.annotations:
            emotion = _emotion(root, view, each)
            _add_info(emotion, {"author": annotation.author, "utterance": each.event.utterance})
            ET.SubElement(emotion, _tag("category"), {"name": tokens[annotation.label or ""]})
    ET.indent(root)
    path = export.folder.path(f"{export.stem}.emotionml")
    ET.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)


def _add_vocabulary(root: ET.Element, tokens: dict[str, str]) -> None:
    vocabulary = ET.SubElement(root, _tag("vocabulary"), {"type": "category", "id": _VOCABULARY})
    for label, token in tokens.items():
        item = ET.SubElement(vocabulary, _tag("item"), {"name": token})
        if token != label:
            _add_info(item, {"label": label})


def _add_estimate(
    root: ET.Element, view: ConversationView, utterance: AnnotatedUtterance, tokens: dict[str, str]
) -> None:
    event = utterance.event
    emotion = _emotion(root, view, utterance)
    if through := " ".join(_THROUGH[modality] for modality in event.modalities):
        emotion.set("expressed-through", through)
    about = {"speaker": utterance.speaker_name, "utterance": event.utterance, "text": event.text, "model": event.model}
    _add_info(emotion, about | {"label": event.label, "certain": str(event.certain).lower()})
    likeliest_first = sorted(event.probs.items(), key=lambda item: -item[1]) or [(event.label, 1.0)]
    for label, share in likeliest_first:
        ET.SubElement(emotion, _tag("category"), {"name": tokens[label], "confidence": f"{share:.6f}"})
    for name, place in (("pleasure", event.valence), ("arousal", event.arousal)):
        if place is not None:
            ET.SubElement(emotion, _tag("dimension"), {"name": name, "value": f"{(place + 1) / 2:.6f}"})


def _emotion(root: ET.Element, view: ConversationView, utterance: AnnotatedUtterance) -> ET.Element:
    event = utterance.event
    start, end = (milliseconds(view.wall_ns(t_ns)) for t_ns in (event.t_start_ns, event.t_end_ns))
    return ET.SubElement(root, _tag("emotion"), {"start": str(start), "end": str(max(start, end))})


def _add_info(parent: ET.Element, values: dict[str, str]) -> None:
    info = ET.SubElement(parent, _tag("info"))
    for name, value in values.items():
        ET.SubElement(info, f"{{{OURS}}}{name}").text = xml_line(value)


def _tokens(labels: tuple[str, ...]) -> dict[str, str]:
    """Label -> name token, each once."""
    names = UniqueNames("{}_{}")
    return {label: names.take(_NOT_NMTOKEN.sub("_", xml_line(label)) or "_") for label in labels}


def _tag(name: str) -> str:
    return f"{{{NAMESPACE}}}{name}"

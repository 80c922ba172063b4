"""What the W3C Recommendation of EmotionML 1.0 (22 May 2014) demands of a document, as far as we write such.

Its XML Schema is not at hand in any package, so its constraints are written down here, with the numbers of the
assertions in the implementation report of the working group. The name tokens are checked by lxml, through a DTD.
"""

import io

from lxml import etree

NS = "{http://www.w3.org/2009/10/emotionml}"
PAD = "http://www.w3.org/TR/emotion-voc/xml#pad-dimensions"  # in the note "Vocabularies for EmotionML"
PAD_NAMES = {"pleasure", "arousal", "dominance"}
THROUGH = {"gaze", "face", "head", "torso", "gesture", "leg", "voice", "text", "locomotion", "posture", "physiology"}
ATTRIBUTES = {
    "emotionml": {"version", "category-set", "dimension-set"},
    "vocabulary": {"type", "id"},
    "item": {"name"},
    "emotion": {"start", "end", "expressed-through", "category-set"},
    "category": {"name", "value", "confidence"},
    "dimension": {"name", "value", "confidence"},
    "info": {"id"},
}
CHILDREN = {
    "emotionml": {"emotion", "vocabulary", "info"},
    "vocabulary": {"item", "info"},
    "item": {"info"},
    "emotion": {"category", "dimension", "info"},
    "category": set(),
    "dimension": set(),
}


def violations(document: bytes) -> list[str]:
    """What is wrong, one line each."""
    root = etree.fromstring(document)
    wrong = []
    if root.tag != f"{NS}emotionml" or root.get("version") != "1.0":
        wrong.append("101, 102, 110, 111: the root is emotionml of version 1.0")
    for element in root.iter(f"{NS}*"):
        name = element.tag.removeprefix(NS)
        if extra := set(element.attrib) - ATTRIBUTES[name]:
            wrong.append(f"{name} has {extra}")
        wrong += _children(name, element)
    declared = {root.get("category-set")} - {None}
    vocabularies = {f"#{each.get('id')}": each for each in root.findall(f"{NS}vocabulary")}
    for each in vocabularies.values():
        if each.get("type") != "category" or not each.findall(f"{NS}item"):
            wrong.append("a vocabulary has a type and at least one item")
    for emotion in root.findall(f"{NS}emotion"):
        wrong += _emotion(emotion, declared, vocabularies)
        wrong += _dimensions(emotion, root.get("dimension-set"))
    names = [item.get("name") for item in root.iter(f"{NS}item")]
    if len(set(names)) < len(names):
        wrong.append("a vocabulary names an item twice")
    return wrong + _tokens(names)


def _children(name, element) -> list[str]:
    own = [child.tag.removeprefix(NS) for child in element if child.tag.startswith(NS)]
    if name == "info":
        return ["elements of info are of another namespace"] * bool(own)
    wrong = [f"{child} in {name}" for child in own if child not in CHILDREN[name]]
    return wrong + [f"105, 155: {name} has several info"] * (own.count("info") > 1)


def _emotion(emotion, declared, vocabularies) -> list[str]:
    wrong = []
    categories = emotion.findall(f"{NS}category")
    if not categories:
        wrong.append("156: an emotion has at least one category, dimension, appraisal or action tendency")
    if not declared or not declared <= vocabularies.keys():
        wrong.append("210: a category needs a declared vocabulary")
    known = {item.get("name") for each in vocabularies.values() for item in each.findall(f"{NS}item")}
    names = [category.get("name") for category in categories]
    wrong += [f"212: {name} is not of the vocabulary" for name in names if name not in known]
    wrong += ["213: a category name occurs twice in an emotion"] * (len(set(names)) < len(names))
    for category in categories:
        for scale in ("value", "confidence"):
            if category.get(scale) is not None and not 0 <= float(category.get(scale)) <= 1:
                wrong.append(f"{scale} is from 0 to 1")
    start, end = emotion.get("start"), emotion.get("end")
    if not (start.isdecimal() and end.isdecimal() and int(start) <= int(end)):
        wrong.append("175, 176: start and end are whole ms, in order")
    through = emotion.get("expressed-through")
    if through is not None and not set(through.split()) <= THROUGH:
        wrong.append(f"181: {through}")
    return wrong


def _dimensions(emotion, vocabulary) -> list[str]:
    dimensions = emotion.findall(f"{NS}dimension")
    names = [dimension.get("name") for dimension in dimensions]
    if names and vocabulary != PAD:
        return ["a dimension needs a declared vocabulary"]
    wrong = [f"{name} is not of the vocabulary" for name in names if name not in PAD_NAMES]
    wrong += ["a dimension name occurs twice in an emotion"] * (len(set(names)) < len(names))
    values = [float(dimension.get("value")) for dimension in dimensions]
    return wrong + [f"a value is from 0 to 1, not {value}" for value in values if not 0 <= value <= 1]


def _tokens(names) -> list[str]:
    dtd = etree.DTD(io.StringIO("<!ELEMENT x ANY><!ATTLIST x n NMTOKEN #REQUIRED>"))
    return [f"{name!r} is no NMTOKEN" for name in names if not dtd.validate(etree.Element("x", n=name))]

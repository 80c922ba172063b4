"""EmotionML says what was estimated and what people said, and keeps the rules of its recommendation."""

from xml.etree import ElementTree as ET

import pytest
from emotionml_rules import NS, violations
from hypothesis import given, settings
from talks import WALL_NS, made, sessions

from erc_live.live.export import emotionml
from erc_live.live.export.plain_text import xml_line

OURS = "{urn:erc-live:export}"


@settings(max_examples=60, deadline=None)
@given(sessions())
def test_any_session_keeps_the_rules(tmp_path_factory, session):
    folder = tmp_path_factory.mktemp("emotionml")
    view = made(folder, emotionml.write, session)
    document = (folder / "talk.emotionml").read_bytes()
    assert violations(document) == []
    root = ET.fromstring(document)
    labels = {
        item.get("name"): item.findtext(f"{NS}info/{OURS}label", item.get("name")) for item in root.iter(f"{NS}item")
    }
    emotions = iter(root.findall(f"{NS}emotion"))
    for each in view.utterances:
        emotion = next(emotions)
        assert int(emotion.get("start")) * 1_000_000 - (WALL_NS + each.event.t_start_ns) in range(-500_000, 500_001)
        assert emotion.findtext(f"{NS}info/{OURS}text", "") == xml_line(each.event.text)
        shares = {labels[c.get("name")]: float(c.get("confidence")) for c in emotion.findall(f"{NS}category")}
        assert shares.keys() == {xml_line(label) for label in each.event.probs}
        for label, share in each.event.probs.items():
            assert abs(shares[xml_line(label)] - share) < 1e-6
        places = {d.get("name"): 2 * float(d.get("value")) - 1 for d in emotion.findall(f"{NS}dimension")}
        wanted = {"pleasure": each.event.valence, "arousal": each.event.arousal}
        assert places == pytest.approx({n: place for n, place in wanted.items() if place is not None}, abs=2e-6)
        for annotation in each.annotations:
            judged = next(emotions)
            assert labels[judged.find(f"{NS}category").get("name")] == xml_line(annotation.label)
            assert judged.findtext(f"{NS}info/{OURS}author") == annotation.author
    assert next(emotions, None) is None


def test_the_rules_see_what_is_wrong():
    document = (
        b'<emotionml xmlns="http://www.w3.org/2009/10/emotionml" version="1.0" category-set="#l">'
        b'<vocabulary type="category" id="l"><item name="a b"/></vocabulary>'
        b'<emotion start="5" end="4" expressed-through="hat"><category name="x" confidence="2"/></emotion>'
        b'<emotion start="1" end="1"/></emotionml>'
    )
    assert len(violations(document)) == 6

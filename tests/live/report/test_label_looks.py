"""Labels that nobody has seen before look unlike each other, too."""

from examples import LABELS
from hypothesis import given
from hypothesis import strategies as st

from erc_live.live.report.label_looks import label_looks


@given(st.lists(st.text(max_size=8), unique=True, max_size=30))
def test_no_two_labels_have_the_same_letters(labels):
    looks = label_looks(labels)
    assert list(looks) == labels
    assert len({look.letters.casefold() for look in looks.values()}) == len(labels)
    assert all(0 < len(look.letters) <= 3 for look in looks.values())


@given(st.lists(st.text(max_size=8), unique=True, max_size=12), st.text(max_size=8))
def test_a_label_looks_the_same_when_another_comes(labels, more):
    before = label_looks(labels)
    assert {label: look for label, look in label_looks([*labels, more]).items() if label in before} == before


def test_the_shipped_labels_have_a_colour_each():
    looks = label_looks(LABELS)
    assert [look.letters for look in looks.values()] == ["Ne", "Su", "Fe", "Sa", "Jo", "Di", "An"]
    assert len({look.colour for look in looks.values()}) == len(LABELS)
    assert not any(look.hatched for look in looks.values())


def test_beside_the_shipped_ones_an_own_label_has_its_own_colour_and_the_next_is_hatched():
    looks = label_looks([*LABELS, "pride", "relief"])
    assert len({(look.colour, look.hatched) for look in looks.values()}) == len(LABELS) + 2

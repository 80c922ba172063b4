"""Two letters for each label: unlike each other, of two cells, and understood when somebody types them."""

from examples import LABELS
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from erc_live.live.screen.label_codes import OWN_STYLES, label_codes, label_of, label_styles
from erc_live.live.screen.theme import LABEL_STYLES

ANY_LABELS = st.lists(st.text(max_size=12), min_size=1, max_size=40, unique=True).map(tuple)


def test_the_labels_of_the_shipped_weights() -> None:
    assert "".join(label_codes(LABELS).values()) == "NeSuFeSaJoDiAn"
    assert label_styles(LABELS) == {label: LABEL_STYLES[label] for label in LABELS}


@given(ANY_LABELS)
def test_no_two_are_alike(labels: tuple[str, ...]) -> None:
    codes = label_codes(labels)
    assert tuple(codes) == labels
    assert len({code.casefold() for code in codes.values()}) == len(labels)
    assert {cell_len(code) for code in codes.values()} == {2}


def test_labels_of_other_models_have_colours_of_their_own() -> None:
    styles = label_styles(("neutral", "calm", "bored", "joy"))
    assert (styles["calm"], styles["bored"]) == OWN_STYLES[:2]
    assert not {*OWN_STYLES} & {*LABEL_STYLES.values()}


def test_what_is_typed_is_understood() -> None:
    for typed, meant in {
        "5": "joy", "jo": "joy", "JO": "joy", "joy": "joy", "sur": "surprise", " sa ": "sadness", "s": "s",
        "bored": "bored", "very  bored": "very bored", "": "", "0": "0", "8": "8", "\u0661": "\u0661",
    }.items():  # fmt: skip
        assert label_of(typed, LABELS) == meant


@given(ANY_LABELS, st.data())
def test_the_letters_on_the_screen_mean_their_label(labels: tuple[str, ...], data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(labels))
    code = label_codes(labels)[label]
    if not code.isdigit():  # a number counts the labels
        assert label_of(code, labels) == label

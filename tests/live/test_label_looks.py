"""Labels look unlike each other, whatever they are called: two letters of two cells, a colour, and what is typed."""

from examples import LABELS
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from erc_live.live.label_looks import COLOURS, OWN_COLOURS, label_looks, label_of

ANY_LABELS = st.lists(st.text(max_size=12), min_size=1, max_size=40, unique=True).map(tuple)


def test_the_labels_of_the_shipped_weights() -> None:
    looks = label_looks(LABELS)
    assert "".join(look.letters for look in looks.values()) == "NeSuFeSaJoDiAn"
    assert len({look.colour.area for look in looks.values()}) == len(LABELS)
    assert not any(look.hatched for look in looks.values())


@given(ANY_LABELS)
def test_no_two_have_the_same_letters(labels: tuple[str, ...]) -> None:
    looks = label_looks(labels)
    assert tuple(looks) == labels
    assert len({look.letters.casefold() for look in looks.values()}) == len(labels)
    assert {cell_len(look.letters) for look in looks.values()} == {2}


@given(ANY_LABELS, st.text(max_size=8))
def test_a_label_looks_the_same_when_another_comes(labels: tuple[str, ...], more: str) -> None:
    before, after = label_looks(labels), label_looks((*labels, more))
    assert {label: after[label] for label in before} == before


def test_beside_the_shipped_ones_an_own_label_has_its_own_colour_and_the_next_is_hatched() -> None:
    looks = label_looks((*LABELS, "pride", "relief"))
    assert len({(look.colour.area, look.hatched) for look in looks.values()}) == len(LABELS) + 2


def test_in_a_terminal_each_colour_is_there_once() -> None:
    colours = [colour.terminal for colour in (*COLOURS.values(), *OWN_COLOURS)]
    assert len({*colours}) == len(colours)


def test_what_is_typed_is_understood() -> None:
    for typed, meant in {
        "5": "joy", "jo": "joy", "JO": "joy", "joy": "joy", "sur": "surprise", " sa ": "sadness", "s": "s",
        "bored": "bored", "very  bored": "very bored", "": "", "0": "0", "8": "8", "\u0661": "\u0661",
    }.items():  # fmt: skip
        assert label_of(typed, LABELS) == meant


@given(ANY_LABELS, st.data())
def test_the_letters_on_the_screen_mean_their_label(labels: tuple[str, ...], data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(labels))
    letters = label_looks(labels)[label].letters
    if not letters.isdigit():  # a number counts the labels
        assert label_of(letters, labels) == label

"""The lines at the bottom in which a person answers the screen: a note, a name, a label.

The rule of this file: what is typed is drawn through the gate as everything from outside, its end always in sight; and
each question says how to leave it.
"""

from rich.cells import cell_len

from erc_live.live.label_looks import label_of
from erc_live.live.screen.interaction import speakers_by_number
from erc_live.live.screen.sheet import Row, Sheet, clock_text
from erc_live.live.screen.theme import CHANGED, QUIET, STRONG, WARNING

CHOICE_ROWS = 3  # of names or labels to choose from


def prompt(sheet: Sheet, below: int) -> list[Row]:
    """What is asked, or was answered, in a few rows; none where nobody is at anything. `below`: how many items of the
    transcript are newer than those on the screen.
    """
    doing = sheet.doing
    match doing.mode:
        case "note":
            moment = clock_text(doing.moment_ns - (sheet.view.start_ns or 0))
            return [_input(sheet, f"Note at {moment}: ")]
        case "speaker":
            people = [f"{number} {name}" for number, name in speakers_by_number(sheet.view).items()]
            return [*_packed(sheet, people), _input(sheet, "Whose name? Number: ")]
        case "name":
            return [_input(sheet, f"Name of speaker {doing.speaker + 1}: ")]
        case "choose":
            return _wrapped(sheet, "Which utterance? up, down, then Enter; Esc cancels")
        case "label":
            labels = [f"{n} {sheet.code(label)} {label}" for n, label in enumerate(sheet.view.labels, 1)]
            return [*_packed(sheet, labels), _input(sheet, "Label, or an own word: ", _meant(sheet))]
    if doing.answer:
        return [[(f" {line}", WARNING)] for line in sheet.glyphs.wrap(doing.answer, max(1, sheet.width - 2), 2)]
    return [[(sheet.glyphs.fit(f" {below} newer below; End: the newest", sheet.width), CHANGED)]] if below else []


def _input(sheet: Sheet, question: str, meant: str = "") -> Row:
    """The question, the end of what was typed, and a cursor; where there is room, how to leave."""
    hint = meant or "Enter sends, Esc cancels"
    room = sheet.width - cell_len(question) - 3
    if room - cell_len(hint) < 16:
        hint = sheet.glyphs.fit(meant, cell_len(meant)) if meant and room - cell_len(meant) > 6 else ""
    room = max(1, room - cell_len(hint))
    typed = sheet.glyphs.text(sheet.doing.line)
    while cell_len(typed) > room:
        typed = typed[1:]
    blank = " " * max(0, room - cell_len(typed))
    return [(f" {question}", STRONG), (typed, ""), (" ", "reverse"), (f"{blank}{hint}", QUIET)]


def _meant(sheet: Sheet) -> str:
    """Which label the typed letters mean."""
    label = label_of(sheet.doing.line, sheet.view.labels)
    return f"= {sheet.glyphs.text(label)}" if label and label != sheet.doing.line else ""


def _wrapped(sheet: Sheet, text: str) -> list[Row]:
    return [[(f" {line}", QUIET)] for line in sheet.glyphs.wrap(text, max(1, sheet.width - 2), CHOICE_ROWS)]


def _packed(sheet: Sheet, choices: list[str]) -> list[Row]:
    """What there is to choose from, none of it over two rows; the last row says when more was there."""
    rows: list[str] = [""]
    for choice in map(sheet.glyphs.text, choices):
        if rows[-1] and cell_len(rows[-1]) + 2 + cell_len(choice) >= sheet.width:
            rows.append("")
        rows[-1] += f"{'  ' if rows[-1] else ' '}{choice}"
    if len(rows) > CHOICE_ROWS:
        rows = [
            *rows[: CHOICE_ROWS - 1],
            sheet.glyphs.fit(f"{rows[CHOICE_ROWS - 1]}  {sheet.glyphs.more}", sheet.width),
        ]
    return [[(row, QUIET)] for row in rows]

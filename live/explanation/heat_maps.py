"""What moved an estimate, as one SVG: a row per utterance, the change of the log-probability and the attention as heat.

After figure 6 of MultiEMO (Shi and Huang 2023), which draws attention; occlusion stands beside it, because attention
alone does not say what a network would answer otherwise. Plain SVG: no script, no font, no request; it can stand in a
page or by itself, and follows the reader's light or dark scheme.
The rule of this file: each cell says its number, colour only repeats it (orange for, purple against: the two ends of a
scale that colour-blind people tell apart); text from outside is escaped.
"""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from rich.cells import cell_len, set_cell_size

from erc_live.live.explanation.influence import Explanation, Influence, signed
from erc_live.live.screen.printable import printable

COLUMNS = {"whole": "all of it", "text": "words", "audio": "voice", "visual": "face"}
FOOTER = (
    "Numbers: how far log p of the label falls without it, in nats; + it spoke for the label, - against it.",
    "Estimated expressed emotion: what moved the estimate of a model, not why anybody felt something.",
)
DRAWING = b'class="erc-why"'  # is near the beginning of each
_FOR, _AGAINST, _LOOKED = "#e08214", "#8073ac", "#4393c3"  # ColorBrewer's PuOr and RdBu
_STRONGEST = 0.75  # opacity of the largest value: text stays readable on it in both schemes
_ROW, _CELL, _WORDS, _TOP, _LEFT = 22, 66, 330, 78, 10  # px
_WORDS_CELLS = 46  # letters that fit into `_WORDS` at 12 px, wide ones counting twice
_STYLE = (
    ".erc-why{color:#1a1a1a;background:#fff;font:12px system-ui,sans-serif;max-width:100%;height:auto}"
    ".erc-why text{fill:currentColor}.erc-why .n{text-anchor:middle}.erc-why .t{font-size:15px;font-weight:600}"
    ".erc-why .q{opacity:.75}.erc-why .o{font-weight:600}"
    "@media (prefers-color-scheme:dark){.erc-why{color:#eee;background:#161616}}"
)


def svg(explanation: Explanation) -> str:
    """The whole drawing, to be written to a file or put into a page as it is."""
    influences = explanation.influences
    modalities = [m for m in COLUMNS if m == "whole" or any(m in influence.modalities for influence in influences)]
    layers = max((len(influence.attention) for influence in influences), default=0)
    heads = [*(COLUMNS[m] for m in modalities), *(f"layer {number + 1}" for number in range(layers))]
    width = 2 * _LEFT + _WORDS + _CELL * len(heads)
    height = _TOP + _ROW * len(influences) + 16 * len(FOOTER) + 14
    what = (
        f"What moved the estimate {explanation.label} ({explanation.probability:.2f}) "
        f"of utterance {explanation.index}, {explanation.speaker_name}"
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="erc-why" role="img" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}">',
        f"<title>{_text(what)}</title><style>{_STYLE}</style>",
        _label(_LEFT, 24, what, "t"),
        *_headings(heads, len(modalities), layers),
        *_rows(influences, modalities, layers),
        *(
            _label(_LEFT, _TOP + _ROW * len(influences) + 18 + 16 * number, line, "q")
            for number, line in enumerate(FOOTER)
        ),
        "</svg>",
    ]
    return "".join(parts)


def _headings(heads: Sequence[str], occluded: int, layers: int) -> Iterable[str]:
    yield _label(_x(0), _TOP - 26, "what is left out", "q")
    if layers:
        yield _label(_x(occluded), _TOP - 26, "attention to it", "q")
    for number, head in enumerate(heads):
        yield _label(_x(number) + _CELL / 2, _TOP - 8, head, "n")


def _rows(influences: Sequence[Influence], modalities: Sequence[str], layers: int) -> Iterable[str]:
    values = [[_effect(influence, modality) for modality in modalities] for influence in influences]
    most = max((abs(value) for row in values for value in row if value is not None), default=0.0) or 1.0
    for number, (influence, row) in enumerate(zip(influences, values, strict=True)):
        y = _TOP + _ROW * number
        words = f"{influence.index}  {influence.speaker_name}: {influence.text or '(no words)'}"
        yield _label(_LEFT, y + 15, _cut(words), "o" if influence.itself else "")
        for column, value in enumerate(row):
            if value is not None:
                colour = _FOR if value > 0 else _AGAINST
                yield _heat(_x(column), y, signed(value), colour, abs(value) / most)
        for layer, share in enumerate(influence.attention):
            yield _heat(_x(len(modalities) + layer), y, f"{share:.2f}", _LOOKED, share)


def _effect(influence: Influence, modality: str) -> float | None:
    effects: Mapping[Any, float] = influence.modalities
    return influence.whole if modality == "whole" else effects.get(modality)


def _heat(x: float, y: float, number: str, colour: str, strength: float) -> str:
    box = f'<rect x="{x:g}" y="{y:g}" width="{_CELL - 2}" height="{_ROW - 2}" fill="{colour}"'
    return f'{box} fill-opacity="{_STRONGEST * strength:.3f}"/>{_label(x + _CELL / 2 - 1, y + 15, number, "n")}'


def _label(x: float, y: float, text: str, style: str) -> str:
    return f'<text x="{x:g}" y="{y:g}" class="{style}">{_text(text)}</text>'


def _x(column: int) -> float:
    return _LEFT + _WORDS + _CELL * column


def _cut(text: str) -> str:
    text = printable(text)
    return text if cell_len(text) <= _WORDS_CELLS else set_cell_size(text, _WORDS_CELLS - 1).rstrip() + "…"


def _text(text: str) -> str:
    """Text from outside, harmless in XML."""
    return escape(printable(text))

"""What a page knows, in the form in which it is written into a file or sent to a browser.

Times are seconds from the start of the page, to the millisecond; probabilities have three digits. What has its default
is left out, so that an hour of talk takes some hundred kilobytes.
The rule of this file: types alone. What they are made from stands in `page_state.py`, what is drawn in `page.js`.
"""

import msgspec


class PageRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Base of all that a page knows."""


class PageHead(PageRow, frozen=True, kw_only=True):
    """What a session is. `wall_s`: Unix time of the page's second 0. `notice`: what people are told, in `language`."""

    session: str
    wall_s: float
    notice: str
    language: str = "en"
    purpose: str = ""
    setting: str = ""
    controller: str = ""
    contact: str = ""
    model: str = ""
    weights: str = ""
    version: str = ""
    live: bool = False


class PageStatus(PageRow, frozen=True, kw_only=True):
    """Where a session stands. `t0`, `t1`: what the time line shows. `phase`: of the stream, in one word."""

    t0: float
    t1: float
    phase: str
    text: str = ""
    recording: bool = False
    paused: bool = False


class PageLabel(PageRow, frozen=True, kw_only=True):
    """How a label looks. `letters` are its own; `hatched`: its colour is that of another one, too."""

    letters: str
    colour: str
    ink: str
    hatched: bool = False


class PageSpeaker(PageRow, frozen=True, kw_only=True):
    """One speaker of a dialogue. `called`: what people name it, where they do; `sources`: its microphones.

    `talk_s`, `share` (of the talk of all), `overlap_s`, `interruptions` and `interrupted`: see `turn_taking.py`.
    """

    number: int
    name: str
    called: str = ""
    sources: tuple[str, ...] = ()
    talk_s: float = 0.0
    share: float = 0.0
    utterances: int = 0
    shifts: int = 0
    overlap_s: float = 0.0
    interruptions: int = 0
    interrupted: int = 0
    labels: dict[str, int] = {}


class PageUtterance(PageRow, frozen=True, kw_only=True):
    """An utterance as it is known now. `words`: (text, start, end); `people`: who takes it for which label instead.

    `face`: the share of its frames that showed one; the other numbers as in an event.
    """

    speaker: str
    source: str
    t0: float
    t1: float
    label: str
    probs: dict[str, float]
    text: str = ""
    words: tuple[tuple[str, float, float], ...] = ()
    certain: bool = True
    final: bool = True
    shift: bool = False
    skipped: bool = False
    modalities: tuple[str, ...] = ()
    face: float | None = None
    text_confidence: float | None = None
    speaker_confidence: float | None = None
    valence: float | None = None
    arousal: float | None = None
    languages: tuple[str, ...] = ()
    people: tuple[tuple[str, str], ...] = ()


class PageNote(PageRow, frozen=True, kw_only=True):
    """A moment that people or rules marked, or at which something happened. `kind`: mark, name, alert, change, loss."""

    t: float
    kind: str
    text: str
    author: str = ""
    speaker: str = ""


class PageBand(PageRow, frozen=True, kw_only=True):
    """A stretch in which something is missing; `t1` is None while it goes on. `source`: of what, "" of all."""

    t0: float
    t1: float | None
    cause: str
    text: str
    source: str = ""


class PageLatency(PageRow, frozen=True, kw_only=True):
    """How long one stage took, over `count` utterances: the median and the 95th percentile."""

    name: str
    p50_ms: float
    p95_ms: float
    count: int


class PageSound(PageRow, frozen=True, kw_only=True):
    """Whether there is sound, and what to say where there is none."""

    present: bool
    text: str


class PageLack(PageRow, frozen=True, kw_only=True):
    """One line about what a recording lacks."""

    text: str


class PageFigure(PageRow, frozen=True, kw_only=True):
    """A figure about an utterance, an SVG document of its own; it is drawn as an image, so no script in it runs."""

    svg: str

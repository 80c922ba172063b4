"""The page itself: one HTML document that holds its style, its program and its data, and asks for nothing else.

Drawn by hand in HTML and plain JavaScript, 44 kB without a build step. A chart library (Vega 6 with Vega-Lite and its
embedding, as Altair inlines it, has 832 kB minified) draws marks that cannot be reached one by one by keyboard or
read aloud, plays no sound, and has no transcript.
The rules of this file: what people said is data, never markup; and a Content-Security-Policy that names the hashes of
the page's own style and program lets nothing else run or be asked for, whatever gets in.
"""

import base64
import hashlib
from functools import lru_cache
from importlib.resources import files

import msgspec

from erc_live.live.report.item_store import Items

_STYLES = ("page.css", "time_line.css", "surroundings.css")
_SCRIPTS = ("state.js", "player.js", "time_line.js", "transcript.js", "sections.js", "start.js")


def page_html(items: Items, *, sound: str = "", follow: str = "") -> bytes:
    """The document. `sound`: what the player plays, a data URI or a name beside the file. `follow`: where updates come
    from, for a page that is live.
    """
    start = {"items": items, "sound": sound, "follow": follow}
    data = msgspec.json.encode(start).replace(b"<", b"\\u003c")  # so that nothing in it ends the element
    parts = {
        b"{policy}": content_policy(live=bool(follow)).encode(),
        b"{style}": _style().encode(),
        b"{script}": _script().encode(),
        b"{data}": data,
    }
    document = _text("page.html").encode()
    for place, part in parts.items():  # the data last: nothing in them is a place
        document = document.replace(place, part, 1)
    return document


def content_policy(*, live: bool) -> str:
    """What the page may load: what it holds, and a sound beside it or, live, the updates of its own server."""
    loads = "connect-src 'self'" if live else "media-src data: file: 'self'"
    return (
        f"default-src 'none'; script-src '{_hash(_script())}'; style-src '{_hash(_style())}'; img-src data:; "
        f"{loads}; base-uri 'none'; form-action 'none'"
    )


@lru_cache
def _style() -> str:
    return "".join(map(_text, _STYLES))


@lru_cache
def _script() -> str:
    return "".join(["'use strict';\n", *map(_text, _SCRIPTS)])


@lru_cache
def _text(name: str) -> str:
    return (files("erc_live.live.report") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"

"""Text and times as formats of lines and marks take them.

The rule of this file: what a format cannot hold is taken out here, once; what it can hold but means something else to
it, each format escapes by itself.
"""

import re
import unicodedata

from erc_live.streams.conversation_view import AnnotatedUtterance

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, production 2
_NOT_IN_FILE_NAMES = re.compile(r'[<>:"/\\|?*\s.]+')  # of any system; a dot parts the parts of our names
_FILE_NAME_BYTES = 60
_CONTROL = ("Cc", "Cs")
_MS_NS = 1_000_000


def one_line(text: str) -> str:
    r"""Without line breaks, tabs, doubled spaces and control characters.

    >>> one_line("  so\n\tit \x07goes ")
    'so it goes'
    """
    if not text.isprintable():
        text = "".join(each for each in text if each.isspace() or unicodedata.category(each) not in _CONTROL)
    return " ".join(text.split())


def xml_line(text: str) -> str:
    """One line of characters that XML can hold; escaping is up to who writes it."""
    return _NOT_XML.sub("\ufffd", one_line(text))


def file_part(text: str) -> str:
    """A name as part of the name of a file, on any system; "" where nothing of it can be.

    >>> file_part("Ann / Ben: <1>")
    'Ann_Ben_1'
    """
    part = _NOT_IN_FILE_NAMES.sub("_", one_line(text)).strip("_")
    return part.encode()[:_FILE_NAME_BYTES].decode(errors="ignore")


class UniqueNames:
    """Gives each name once: `Ann`, `Ann (2)`; in which form the second one, says `pattern`. Upper and lower case make
    no difference, as in files of some systems.
    """

    def __init__(self, pattern: str = "{} ({})") -> None:
        self._taken: set[str] = set()
        self._pattern = pattern

    def take(self, name: str) -> str:
        """The name, or one like it that nobody has."""
        candidate, number = name, 1
        while candidate.casefold() in self._taken:
            number += 1
            candidate = self._pattern.format(name, number)
        self._taken.add(candidate.casefold())
        return candidate


def seconds(t_ns: int) -> str:
    """Nanoseconds as decimal seconds, to the last digit; not below 0.

    >>> seconds(1_500_000_000)
    '1.500000000'
    """
    whole, rest = divmod(max(0, t_ns), 1_000_000_000)
    return f"{whole}.{rest:09}"


def milliseconds(t_ns: int) -> int:
    """Rounded; not below 0."""
    return max(0, (t_ns + _MS_NS // 2) // _MS_NS)


def span_ms(t_start_ns: int, t_end_ns: int) -> tuple[int, int]:
    """A stretch in ms that is not empty, which many formats require."""
    start = milliseconds(t_start_ns)
    return start, max(start + 1, milliseconds(t_end_ns))


def label_text(utterance: AnnotatedUtterance) -> str:
    """The estimate as people read it: `joy`, `joy?` where the model would rather abstain."""
    return f"{utterance.event.label}{'' if utterance.event.certain else '?'}"


def annotated_text(utterance: AnnotatedUtterance) -> str:
    """What people take it for, and who: `anger (Ann, Ben)`; "" where nobody said."""
    if utterance.label_annotated is None:
        return ""
    return f"{utterance.label_annotated} ({', '.join(utterance.authors)})"

"""Whether a file of samples is shorter than its header says: the length that a WAV or CAF header promises.

Who writes such a file through a pipe cannot go back to fill in its length, and leaves a zero, the largest number or
one near it. libavformat reads on to the end then, rightly, but takes the last, shorter block for a damaged one, as it
does in a file that was cut. Only the header knows the difference.
"""

import struct
from pathlib import Path

_HEAD = 1 << 16  # bytes in which the samples begin, behind whatever notes
_UNKNOWN = 0x7FFF_0000  # and above: no length, whatever a writer puts there (2 GiB less what its header takes)
_SLACK = 1024  # bytes: some count the header, too, or a byte that pads


def torn(path: Path) -> bool:
    """Whether the file ends before the length in its header, True for formats that are not looked into."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if head[:4] == b"RIFF":
        at, length = _chunk(head, 12, "<I")
        known = 0 < length < _UNKNOWN
    elif head[:4] == b"caff":
        at, length = _chunk(head, 8, ">q")
        known = length >= 0
    else:
        return True
    return at == 0 or (known and at + length > size + _SLACK)


def _chunk(head: bytes, at: int, form: str) -> tuple[int, int]:
    """Where the samples begin, and how many bytes they are said to be; (0, 0) where they were not found."""
    width = struct.calcsize(form)
    while at + 4 + width <= len(head):
        (length,) = struct.unpack_from(form, head, at + 4)
        if head[at : at + 4] == b"data":
            return at + 4 + width, length
        at += 4 + width + max(length, 0) + (length % 2 if form == "<I" else 0)
    return 0, 0

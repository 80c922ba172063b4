"""Whether a file of samples is shorter or longer than its header says: the length that a WAV or CAF header promises.

Who writes such a file through a pipe cannot go back to fill in its length, and leaves a zero, the largest number or
one near it. libavformat reads on to the end then, rightly, but takes the last, shorter block for a damaged one, as it
does in a file that was cut. Only the header knows the difference.
"""

import struct
from pathlib import Path

_HEAD = 1 << 16  # bytes in which the samples begin, behind whatever notes
_UNKNOWN = 0x7FFF_0000  # and above: no length, whatever a writer puts there (2 GiB less what its header takes)
_TAIL = 1 << 14  # bytes of anything, behind the samples, that is no sound: tags of players, padding
_SLACK = 1024  # bytes: some count the header, too, or a byte that pads


def torn(path: Path) -> bool:
    """Whether the file ends before the length in its header, True for formats that are not looked into."""
    head, size = _head(path)
    if head[:4] == b"RIFF":
        at, length = _chunk(head, 12, "<I")
        known = 0 < length < _UNKNOWN
    elif head[:4] == b"caff":
        at, length = _chunk(head, 8, ">q")
        known = length >= 0
    else:
        return True
    return at == 0 or (known and at + length > size + _SLACK)


def goes_on(path: Path) -> bool:
    """Whether more than notes follows the sound of a WAV file: another one that was joined to it, or what its writer
    did not live to count.
    """
    head, size = _head(path)
    at, length = _chunk(head, 12, "<I") if head[:4] == b"RIFF" else (0, 0)
    end = at + length + length % 2
    if not 0 < length < _UNKNOWN or end + 8 > size:
        return False
    with path.open("rb") as file:
        file.seek(end)
        name, follows = struct.unpack("<4sI", file.read(8))
    note = name.isascii() and name.decode("latin-1").isprintable() and end + 8 + follows <= size + 1
    return name == b"RIFF" or not (note or size - end < _TAIL)


def _head(path: Path) -> tuple[bytes, int]:
    with path.open("rb") as file:
        return file.read(_HEAD), path.stat().st_size


def _chunk(head: bytes, at: int, form: str) -> tuple[int, int]:
    """Where the samples begin, and how many bytes they are said to be; (0, 0) where they were not found."""
    width = struct.calcsize(form)
    while at + 4 + width <= len(head):
        (length,) = struct.unpack_from(form, head, at + 4)
        if head[at : at + 4] == b"data":
            return at + 4 + width, length
        at += 4 + width + max(length, 0) + (length % 2 if form == "<I" else 0)
    return 0, 0

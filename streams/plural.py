"""A number and what it counts, as people read it."""


def counted(number: int, noun: str, ending: str = "s") -> str:
    """The noun is singular where there is one.

    >>> counted(1, "recording"), counted(1200, "recording"), counted(0, "stretch", "es")
    ('1 recording', '1,200 recordings', '0 stretches')
    """
    return f"{number:,} {noun}{'' if number == 1 else ending}"

"""The README's code, for tests that run it."""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def block(language: str, containing: str) -> str:
    """The only block of code of a language that contains a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [code for code in blocks if containing in code]
    return str(found)

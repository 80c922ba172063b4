"""The code of the README and of the manuals in `live/`, for tests that run it."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
MANUALS = (README, ROOT / "live/README.md", ROOT / "live/bench/README.md")


def block(language: str, containing: str) -> str:
    """The only block of code of a language in the README that contains a text."""
    (found,) = [code for code in _blocks(README, language) if containing in code]
    return found


def commands(program: str) -> list[str]:
    """Every call of a program in the shell blocks of all manuals, without comments, also where it stands in a chain."""
    lines = [line.partition("#")[0] for page in MANUALS for code in _blocks(page, "sh") for line in code.splitlines()]
    calls = [call.strip().removeprefix(".venv/bin/") for line in lines for call in re.split(r"&&|[;{}]", line)]
    return list(dict.fromkeys(call for call in calls if call.startswith(program)))


def _blocks(page: Path, language: str) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

"""The README's code, for tests that run it."""

import re
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def block(language: str, containing: str) -> str:
    """The only block of code of a language that contains a text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (found,) = [code for code in blocks if containing in code]
    return str(found)


def commands(program: str) -> list[str]:
    """Every call of a program in the README's shell blocks, without comments, also where it stands in a chain."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line.partition("#")[0] for code in blocks for line in code.splitlines()]
    calls = [call.strip().removeprefix(".venv/bin/") for line in lines for call in re.split(r"&&|[;{}]", line)]
    return [call for call in calls if call.startswith(program)]

"""What the tests of commands share: calling one, and a small corpus of the tiny world's labels."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.testing import CliRunner

from erc_live.live.errors import exit_code

TEXTS = ("oh no", "it is great", "awful", "do you know", "well", "what is it")


def run(command: Callable[..., Any], *arguments: object) -> tuple[int, str]:
    """-> exit code, standard output; of an error its own code and its line, as the command line gives them."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return (exit_code(result.exception) or 1), str(result.exception)
    return result.exit_code, result.stdout


def corpus(folder: Path, labels: tuple[str | None, ...], prosody: bool = True) -> Path:
    """Train and dev of eight dialogues each, in which labels and words go round in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "dev"):
        lines = []
        for number in range(8):
            utterances = [
                {
                    "speaker": "AB"[(number + place) % 2],
                    "text": f"{TEXTS[(number + place) % len(TEXTS)]} {split}",
                    "label": labels[(number * 2 + place) % len(labels)],
                    "prosody": {"duration": 1.0 + place / 4, "avg_pitch": 100.0 + number} if prosody else None,
                }
                for place in range(3 + number % 3)
            ]
            lines.append(json.dumps({"dialogue": f"{split}{number}", "utterances": utterances}))
        (folder / f"{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder

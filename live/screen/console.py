"""The two consoles of a command: results go to standard output, what people should know to standard error."""

from rich.console import Console

out = Console()
err = Console(stderr=True)


def wants_jsonl(asked: bool) -> bool:
    """Whether to write JSON lines: when asked to, or when nobody looks at a terminal that can be drawn on."""
    return asked or not out.is_terminal or out.is_dumb_terminal

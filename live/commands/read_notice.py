"""`erc-live notice`: what people must be told before a session, to read out and as a sign for the door."""

from pathlib import Path
from typing import Annotated

import typer

from erc_live.live import config as configuration
from erc_live.live.commands.session_options import ConfigFile, Purpose, Reason, Sets, Setting, TextOnly, session_flags
from erc_live.live.errors import ConfigError
from erc_live.live.privacy import purpose as purposes
from erc_live.live.privacy.notice import WORDINGS, sentences, sign
from erc_live.live.screen.console import out, print_line


def notice(
    languages: Annotated[
        list[str] | None, typer.Option("--language", help="en, de or fr; several: one after the other.", metavar="CODE")
    ] = None,
    recorded: Annotated[bool, typer.Option("--recorded", help="The session will be recorded.")] = False,
    visual: Annotated[bool, typer.Option("--with-camera", help="There will be a camera.")] = False,
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a sign, one page to print, to this file.", metavar="FILE")
    ] = None,
    purpose: Purpose = None,
    setting: Setting = None,
    reason: Reason = None,
    text_only: TextOnly = False,
    config: ConfigFile = None,
    sets: Sets = None,
) -> None:
    """Print what people must be told before a session: to read out, and as a sign (--html)."""
    flags = session_flags(purpose, setting, reason, text_only)
    chosen = [flags | {"session.language": language} for language in languages or []] or [flags]
    texts = [configuration.load(config, sets or [], flags).config.session for flags in chosen]
    for settings in texts:
        purposes.check(settings)
    if page is not None:
        if len(texts) > 1:
            raise ConfigError(f"--html {page}: a sign has one language; write one file for each --language")
        _write(page, sign(texts[0], recorded, visual))
        return
    for settings in texts:
        for line in (WORDINGS[settings.language].title + ".", *sentences(settings, recorded, visual)):
            print_line(line, out)


def _write(page: Path, text: str) -> None:
    try:
        page.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html {page}: it cannot be written there ({error.strerror}); name another") from error

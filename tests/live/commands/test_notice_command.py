"""`erc-live notice`: a text to read out, and a sign."""

from pathlib import Path

import pytest
from commands import run

from erc_live.live.commands.read_notice import notice


def test_it_is_printed_to_read_out_and_written_as_a_sign(tmp_path: Path) -> None:
    code, text = run(notice, "--language", "en", "--language", "fr", "--recorded", "--purpose", "safety")
    assert code == 0
    assert "It is being recorded." in text
    assert "la sécurité" in text
    assert run(notice, "--html", tmp_path / "sign.html", "--language", "de") == (0, "")
    assert "Stimmen" in (tmp_path / "sign.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--language", "la"), "session.language"),
        (("--html", "/nowhere/sign.html"), "cannot be written"),
        (("--html", "x.html", "--language", "en", "--language", "de"), "one language"),
        (("--setting", "workplace"), "Article 5"),
    ],
)
def test_what_cannot_be_is_one_line(arguments: tuple[str, ...], says: str) -> None:
    code, text = run(notice, *arguments)
    assert code == 2
    assert says in text
    assert "\n" not in text

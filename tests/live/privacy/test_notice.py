"""What people are told: in every language the whole, first in the stream, and nothing that is not so."""

import re
import typing
from xml.etree import ElementTree

import pytest
from examples import hello

from erc_live.live.config import Language, SessionSection
from erc_live.live.privacy.notice import WORDINGS, introduced, sentences, sign

LANGUAGES: tuple[Language, ...] = typing.get_args(Language)
RECORDED = {"en": "is being recorded", "de": "wird aufgezeichnet", "fr": "est enregistrée"}
UNRECORDED = {"en": "is not being recorded", "de": "wird nicht aufgezeichnet", "fr": "n'est pas enregistrée"}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("recorded", [False, True])
def test_it_says_what_for_whether_it_is_recorded_and_who_is_responsible(language: Language, recorded: bool) -> None:
    settings = SessionSection(language=language, purpose="research", controller="Ann Lee", contact="ann@example.org")
    text = " ".join(sentences(settings, recorded, visual=True))
    assert WORDINGS[language].purposes["research"] in text
    assert "Ann Lee (ann@example.org)" in text
    assert (RECORDED[language] in text) == recorded
    assert (UNRECORDED[language] in text) != recorded
    assert "{" not in text


def test_every_language_says_everything() -> None:
    for wording in WORDINGS.values():
        assert wording.purposes.keys() == WORDINGS["en"].purposes.keys()
        assert "{}" in wording.responsible
        assert "{}" in wording.estimates
    assert WORDINGS.keys() == {*LANGUAGES}


def test_only_what_is_analysed_is_named() -> None:
    def first(visual: bool, text_only: bool = False) -> str:
        return sentences(SessionSection(text_only=text_only), False, visual)[0]

    assert "faces" in first(visual=True)
    assert "faces" not in first(visual=False)
    assert "voices" in first(visual=False)
    assert first(visual=False, text_only=True).endswith("from words alone.")


@pytest.mark.parametrize(
    ("controller", "contact", "says"),
    [("", "", None), ("Ann", "", "Ann."), ("", "a@b.org", "a@b.org."), ("Ann", "a@b.org", "Ann (a@b.org).")],
)
def test_who_is_responsible_is_named_as_far_as_known(controller: str, contact: str, says: str | None) -> None:
    text = " ".join(sentences(SessionSection(controller=controller, contact=contact), False, False))
    assert (f"Responsible: {says}" in text) if says else ("Responsible" not in text)


def test_the_greeting_carries_it() -> None:
    settings = SessionSection(purpose="medical", setting="workplace", reason="r", controller="C", language="de")
    greeting = introduced(hello(last_seq=3), settings, recorded=True, visual=False)
    assert greeting.notice == " ".join(sentences(settings, True, False))
    assert (greeting.purpose, greeting.setting, greeting.controller) == ("medical", "workplace", "C")
    assert greeting.language == "de"
    assert greeting.last_seq == 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_sign_is_one_whole_page_that_loads_nothing(language: Language) -> None:
    settings = SessionSection(language=language, controller='<b>"A" & B</b>')
    page = sign(settings, recorded=False, visual=True)
    assert not re.search(r"https?:|url\(|@import|@font-face|<(script|link|img|iframe)|src=|href=", page)
    assert "<b>" not in page
    body = page.partition("<body>")[2].partition("</body>")[0]
    paragraphs = ElementTree.fromstring(f"<body>{body}</body>")
    text = " ".join(paragraphs.itertext())
    assert all(sentence in text for sentence in sentences(settings, False, True))
    assert f'lang="{language}"' in page

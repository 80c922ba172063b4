"""What a session may be for: at work and in education nothing but what the law excepts, and that with its reason."""

import typing

import pytest

from erc_live.live import config
from erc_live.live.commands.session_options import session_flags
from erc_live.live.config import Purpose, SessionSection
from erc_live.live.errors import ConfigError
from erc_live.live.privacy import purpose
from erc_live.live.session import launch
from erc_live.live.session.spec import SessionSpec

PURPOSES = typing.get_args(Purpose)


@pytest.mark.parametrize("what", PURPOSES)
def test_anything_goes_elsewhere(what: Purpose) -> None:
    purpose.check(SessionSection(purpose=what))


@pytest.mark.parametrize("setting", ["workplace", "education"])
@pytest.mark.parametrize("what", PURPOSES)
@pytest.mark.parametrize("reason", ["", "  ", "fatigue of drivers"])
def test_work_and_education_need_a_medical_or_safety_reason(
    setting: typing.Literal["workplace", "education"], what: Purpose, reason: str
) -> None:
    settings = SessionSection(purpose=what, setting=setting, reason=reason)
    if what in ("medical", "safety") and reason.strip():
        purpose.check(settings)
        return
    with pytest.raises(ConfigError, match=r"Article 5\(1\)\(f\)") as refused:
        purpose.check(settings)
    assert setting in str(refused.value)
    assert "--reason" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_place_is_no_purpose() -> None:
    with pytest.raises(ConfigError, match="--setting workplace --purpose medical or safety"):
        session_flags("workplace", None, None)


@pytest.mark.parametrize(("key", "value"), [("purpose", "marketing"), ("setting", "prison")])
def test_the_lists_are_closed(key: str, value: str) -> None:
    with pytest.raises(ConfigError, match=f"session.{key}"):
        config.load(flags={f"session.{key}": value})


def test_nothing_is_started_where_it_may_not_be() -> None:
    """Also not by a program that goes around the command line, and before any file is looked at."""
    settings = config.Config(session=SessionSection(setting="workplace"))
    sources = launch.demo_sources()[0]
    with pytest.raises(ConfigError, match=r"session\.setting is workplace"):
        launch.run(SessionSpec(session="s", config=settings, sources=sources, transcript="/nowhere"))


def test_options_win_over_files_and_what_was_not_given_is_left_alone() -> None:
    assert session_flags(None, None, None) == {}
    flags = session_flags("safety", "workplace", "drivers", text_only=True)
    loaded = config.load(sets=["session.purpose=research", "session.contact=x"], flags=flags).config.session
    assert (loaded.purpose, loaded.setting, loaded.reason) == ("safety", "workplace", "drivers")
    assert loaded.text_only
    assert loaded.contact == "x"

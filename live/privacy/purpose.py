"""What a session may be for. In the European Union emotions may not be inferred at work or in education (AI Act,
Article 5(1)(f)), but for medical or safety reasons; so there such a reason is asked for, and stays with the session.

The rule of this file: it refuses, and it never guesses. Where a session takes place is what its operator says.
"""

from erc_live.live.config import SessionSection
from erc_live.live.errors import ConfigError

PROTECTED = ("workplace", "education")
EXCEPTED = ("medical", "safety")
_LAW = "is forbidden in the European Union, except for medical or safety reasons (AI Act, Article 5(1)(f))"
UNNAMED = (
    "Purpose: own-use, as none was named (--purpose). People must know that this runs: `erc-live notice` prints what "
    "to tell them. In a workplace or in education it needs a medical or safety reason (--setting)."
)


def check(settings: SessionSection) -> None:
    """Raise ConfigError where a session may not be: at work or in education without a medical or safety reason."""
    if settings.setting not in PROTECTED:
        return
    where = f"session.setting is {settings.setting}"
    if settings.purpose not in EXCEPTED:
        raise ConfigError(
            f"{where}, and session.purpose {settings.purpose}: to infer emotions there {_LAW}; if yours is one: "
            f"--purpose {' or '.join(EXCEPTED)} --reason TEXT"
        )
    if not settings.reason.strip():
        raise ConfigError(f"{where}: to infer emotions there {_LAW}; say which one yours is: --reason TEXT")


def check_purpose(purpose: str) -> None:
    """Raise ConfigError where somebody names a place as a purpose."""
    if purpose in PROTECTED:
        raise ConfigError(
            f"--purpose {purpose}: that is no purpose but a setting, where to infer emotions {_LAW}; write "
            f"--setting {purpose} --purpose {' or '.join(EXCEPTED)} --reason TEXT"
        )

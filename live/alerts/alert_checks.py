"""Whether the rules of `[[alerts]]` can be kept, before a session starts: one clear line where one cannot.

The rule of this file: what a rule would never do, or would do to somebody else's machine, is refused here.
"""

import ipaddress
import math
import shutil
from collections import Counter
from collections.abc import Collection, Sequence
from urllib.parse import urlsplit

from erc_live.live.config import AlertRule
from erc_live.live.errors import ConfigError

_LEVELS = {"emotion": 1.0, "entropy": math.inf, "overload": math.inf}  # the highest that `above` may be


def check_rules(rules: Sequence[AlertRule], labels: Collection[str]) -> None:
    """Raise ConfigError naming the rule and the key, unless all can be kept by weights that know `labels`."""
    for name, count in Counter(rule.name for rule in rules).items():
        if count > 1:
            raise ConfigError(f"[[alerts]] {name}: two rules of that name; give each its own")
    for rule in rules:
        if why_not := _label(rule, labels) or _level(rule) or _time(rule) or _speaker(rule) or _action(rule):
            raise ConfigError(f"[[alerts]] {rule.name}: {why_not}")


def _label(rule: AlertRule, labels: Collection[str]) -> str:
    known = ", ".join(labels)
    if rule.kind == "emotion" and not rule.label:
        return f"label is missing: which of {known}?"
    if rule.label and rule.kind not in ("emotion", "shift"):
        return f"label: a rule of kind {rule.kind} compares none; take it out"
    return (
        f"label: the weights do not know {rule.label!r}; they know {known}" if rule.label not in ("", *labels) else ""
    )


def _level(rule: AlertRule) -> str:
    most = _LEVELS.get(rule.kind)
    if most is None:
        needless = [name for name in ("above", "until") if getattr(rule, name) is not None]
        return f"{needless[0]}: a rule of kind {rule.kind} compares no number; take it out" if needless else ""
    if rule.above is None:
        return "" if rule.kind == "overload" else "above is missing: the level from which it holds"
    if not 0.0 <= rule.above <= most:
        return f"above: {rule.above} is no {'probability, from 0 to 1' if most == 1.0 else 'level from 0 on'}"
    if rule.until is not None and not 0.0 <= rule.until <= rule.above:
        return f"until: {rule.until} must be between 0 and above ({rule.above}): below it the alert ends"
    return ""


def _time(rule: AlertRule) -> str:
    if not 0.0 <= rule.for_s < math.inf:
        return f"for_s: {rule.for_s} must be 0 s or more"
    if rule.kind == "silence" and not rule.for_s:
        return "for_s is missing: how many seconds of silence"
    return "for_s: a shift has no duration; take it out" if rule.kind == "shift" and rule.for_s else ""


def _speaker(rule: AlertRule) -> str:
    if rule.kind == "overload" and rule.speaker != "any":
        return "speaker: the whole machine is too slow, not a person; take it out"
    if rule.speaker == "" or (isinstance(rule.speaker, int) and rule.speaker < 1):
        return 'speaker: a name, a number from 1 as on the screen, or "any"'
    return ""


def _action(rule: AlertRule) -> str:
    if rule.run and not shutil.which(rule.run[0]):
        return f"run: there is no program {rule.run[0]!r}; a list of program and arguments, no shell"
    return _webhook(rule.webhook) if rule.webhook else ""


def _webhook(url: str) -> str:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme != "http" or port == 0:
        return f"webhook: {url!r} is no http://127.0.0.1:PORT/PATH"
    try:
        here = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        here = False
    return "" if here else f"webhook: {host} is another machine; alerts leave this one by a program that you run"

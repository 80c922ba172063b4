"""A rule that cannot be kept is one clear line before anything starts."""

import pytest
from examples import LABELS

from erc_live.live import config
from erc_live.live.alerts.alert_checks import check_rules
from erc_live.live.config import AlertRule
from erc_live.live.errors import ConfigError

GOOD = {"name": "a", "kind": "emotion", "label": "anger", "above": 0.6}


@pytest.fixture(autouse=True)
def no_user_file(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "user_file", lambda: tmp_path / "user.toml")


@pytest.mark.parametrize(
    "rule",
    [
        GOOD,
        GOOD
        | {"until": 0.2, "for_s": 3.0, "speaker": "Ann", "run": ("true", "x"), "webhook": "http://localhost:8000/a"},
        {"name": "e", "kind": "entropy", "above": 1.2, "speaker": 1, "webhook": "http://[::1]:80/"},
        {"name": "s", "kind": "shift", "label": "joy"},
        {"name": "q", "kind": "silence", "for_s": 5.0, "webhook": "http://127.0.0.1/x"},
        {"name": "o", "kind": "overload"},
    ],
)
def test_good_rules_pass(rule) -> None:
    check_rules([AlertRule(**rule)], LABELS)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"label": ""}, "label is missing: which of neutral"),
        ({"label": "rage"}, "do not know 'rage'"),
        ({"above": None}, "above is missing"),
        ({"above": 1.5}, "no probability"),
        ({"above": float("nan")}, "no probability"),
        ({"until": 0.7}, "until: 0.7 must be between"),
        ({"until": float("nan")}, "until"),
        ({"for_s": float("nan")}, "for_s"),
        ({"kind": "entropy"}, "compares none"),
        ({"kind": "silence", "label": "", "for_s": 3.0}, "compares no number"),
        ({"kind": "silence", "label": "", "above": None}, "for_s is missing"),
        ({"kind": "shift"}, "compares no number"),
        ({"kind": "shift", "above": None, "for_s": 1.0}, "a shift has no duration"),
        ({"kind": "overload", "label": "", "above": 1.0, "speaker": "Ann"}, "not a person"),
        ({"speaker": 0}, "speaker: a name"),
        ({"speaker": ""}, "speaker: a name"),
        ({"run": ("no-such-program-anywhere",)}, "there is no program"),
        ({"webhook": "http://example.org/"}, "another machine"),
        ({"webhook": "http://127.0.0.1.example.org/"}, "another machine"),
        ({"webhook": "https://127.0.0.1/"}, "is no http"),
        ({"webhook": "http://127.0.0.1:99999/"}, "is no http"),
        ({"webhook": "file:///etc/passwd"}, "is no http"),
    ],
)
def test_bad_rules_are_one_line(change, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_rules([AlertRule(**(GOOD | change))], LABELS)
    assert says in str(caught.value)
    assert str(caught.value).startswith("[[alerts]] a: ")
    assert "\n" not in str(caught.value)


def test_two_rules_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigError, match="two rules of that name"):
        check_rules([AlertRule(**GOOD)] * 2, LABELS)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('kind = "emotoin"', "write emotion, entropy, overload, shift or silence (alerts[0].kind)"),
        ('kind = "silence"\nfor_s = -1', "write a number from 0 to 86400 (alerts[0].for_s)"),
        ('kind = "silence"\nfors = 1', "unknown field `fors` (alerts[0])"),
        ('kind = "silence"\nrun = "rm -rf /"', "write a list (alerts[0].run)"),
    ],
)
def test_a_wrong_key_or_kind_says_where(tmp_path, line: str, says: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(f'[[alerts]]\nname = "a"\n{line}\n')
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert says in str(caught.value)
    assert str(caught.value).startswith(f"{file}: alerts")


def test_rules_are_read_from_a_file_and_from_set(tmp_path) -> None:
    file = tmp_path / "c.toml"
    file.write_text('[[alerts]]\nname = "a"\nkind = "shift"\n[[alerts]]\nname = "b"\nkind = "overload"\n')
    assert [rule.name for rule in config.load(file).config.alerts] == ["a", "b"]
    item = 'alerts=[{name="c", kind="silence", for_s=9}]'
    loaded = config.load(file, [item])
    assert [rule.name for rule in loaded.config.alerts] == ["c"]
    assert loaded.origin["alerts"] == "--set alerts"

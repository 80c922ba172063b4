import json
import tomllib
from pathlib import Path

import msgspec
import pytest

from erc_live.live import config
from erc_live.live.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_user_file(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "user_file", lambda: tmp_path / "user.toml")
    return tmp_path / "user.toml"


def test_config_toml_is_the_defaults():
    written = tomllib.loads((ROOT / "config.toml").read_text())
    assert written | {"alerts": []} == json.loads(msgspec.json.encode(config.Config()))


def test_the_example_of_an_alert_names_every_key():
    text = (ROOT / "config.toml").read_text()
    example = "\n".join(line.removeprefix("# ") for line in text[text.index("# [[alerts]]") :].splitlines())
    (rule,) = tomllib.loads(example)["alerts"]
    assert tuple(rule) == config.AlertRule.__struct_fields__
    msgspec.convert(rule, config.AlertRule)


def test_every_key_of_config_toml_has_a_comment_with_its_effect():
    for line in (ROOT / "config.toml").read_text().splitlines():
        if "=" in line and not line.startswith("#"):
            assert "# (session)" in line or "# (start)" in line or "# (live)" in line, line


def test_later_layers_win_and_origin_names_them(no_user_file, tmp_path):
    no_user_file.write_text("[segmenter]\nonset = 0.6\noffset = 0.3\n[dashboard]\nrefresh_hz = 2\n")
    extra = tmp_path / "extra.toml"
    extra.write_text("[segmenter]\nonset = 0.7\n")
    loaded = config.load(extra, ["segmenter.onset=0.8"], {"tracker.weights": "mine"})
    assert loaded.config.segmenter.onset == 0.8
    assert loaded.config.segmenter.offset == 0.3
    assert loaded.config.dashboard.refresh_hz == 2.0
    assert loaded.config.tracker.weights == "mine"
    assert loaded.origin["segmenter.onset"] == "--set segmenter.onset"
    assert loaded.origin["segmenter.offset"] == str(no_user_file)
    assert loaded.origin["tracker.weights"] == "option"
    assert loaded.origin["events.history"] == "default"


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ("segmenter.onst=0.5", "did you mean segmenter.onset"),
        ("onset=0.5", "did you mean segmenter.onset"),
        ("segmenter.onset=1.5", "--set segmenter.onset: write a number from 0 to 1, not 1.5"),
        ("segmenter.onset=high", "write a number from 0 to 1, not 'high'"),
        ("events.history=0", "write a whole number from 1 on, not 0"),
        ("metrics.port=abc", "write a whole number from 0 to 65535, not 'abc'"),
        ("text.redact=yes", "write true or false, not 'yes'"),
        ("session.controller=3", "write a text, not 3"),
        ("speakers.known=Ann", "write a list, not 'Ann'"),
        ("tracker.coordinates={a=[0.1]}", "write a list of 2"),
        ("tracker.coordinates={a=[0.1, 3]}", "write a number from -1 to 1"),
        ("transcriber.engine=vosk", "write auto, faster-whisper, none, pocketsphinx, pool or transcript, not 'vosk'"),
        ("alerts=3", "write a list"),
        ("segmenter.onset", "section.key=value"),
    ],
)
def test_a_wrong_key_or_value_is_one_line_with_the_path(item, says):
    with pytest.raises(ConfigError) as caught:
        config.load(sets=[item])
    assert says in str(caught.value)
    assert item.partition("=")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


def numbers():
    tree = msgspec.to_builtins(config.Config())
    return [
        f"{section}.{key}"
        for section, keys in tree.items()
        if section != "alerts"
        for key, value in keys.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "1e300", "9" * 40])
@pytest.mark.parametrize("key", numbers())
def test_no_number_is_without_bounds(key, value):
    with pytest.raises(ConfigError) as caught:
        config.load(sets=[f"{key}={value}"])
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["dashboard.refresh_hz", "capture.camera_rate_hz", "segmenter.max_utterance_s"])
def test_what_is_divided_by_is_no_speck(key):
    with pytest.raises(ConfigError, match=r"a number from 0\.001 on"):
        config.load(sets=[f"{key}=1e-300"])


def test_a_file_may_hold_no_endless_number_either(tmp_path):
    (tmp_path / "own.toml").write_text("[segmenter]\nmax_utterance_s = inf\n")
    with pytest.raises(ConfigError, match=r"own\.toml: segmenter\.max_utterance_s"):
        config.load(tmp_path / "own.toml")


def test_a_wrong_value_of_an_option_says_what_is_right():
    with pytest.raises(ConfigError, match=r"^option: session\.language: write de, en or fr, not 'xx'$"):
        config.load(flags={"session.language": "xx"})


def test_text_values_need_no_quotes():
    assert config.load(sets=["transcriber.model=tiny.en"]).config.transcriber.model == "tiny.en"


def test_broken_files_say_where(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[segmenter\n")
    with pytest.raises(ConfigError, match=r"broken\.toml"):
        config.load(broken)
    with pytest.raises(ConfigError, match="no such file"):
        config.load(tmp_path / "absent.toml")
    broken.write_text("onset = 0.5\n")
    with pytest.raises(ConfigError, match="outside a table"):
        config.load(broken)

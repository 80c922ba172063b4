"""What `erc-live recognise` takes, and what it does not."""

import pytest
from msgspec import structs

from erc_live.live.asr_pool.pool_loop import PoolPlan, recogniser_choice
from erc_live.live.asr_pool.pool_loop import recognise as run
from erc_live.live.commands import recognise as command
from erc_live.live.config import Config, TranscriberSection
from erc_live.live.errors import ConfigError, EngineError


@pytest.mark.parametrize(("text", "numbers"), [("1", (1, 1)), ("2-8", (2, 8)), ("4-4", (4, 4))])
def test_so_many_recognisers(text, numbers):
    assert command.parse_workers(text) == numbers


@pytest.mark.parametrize("text", ["", "0", "3-2", "2-", "-2", "many", "1-1001", "²"])
def test_no_such_numbers(text):
    with pytest.raises(ConfigError, match="--workers"):
        command.parse_workers(text)


@pytest.mark.parametrize("engine", ["pool", "transcript", "none"])
def test_a_pool_needs_a_recogniser_of_its_own(engine):
    section = TranscriberSection(engine=engine)
    with pytest.raises(ConfigError, match=f"transcriber.engine is {engine}"):
        run(PoolPlan(structs.replace(Config(), transcriber=section), "nowhere", 1, 1), print, None, lambda: True)


def test_its_recognisers_have_the_threads_of_the_recogniser_alone():
    assert recogniser_choice(TranscriberSection(threads=3)).threads == 3
    assert recogniser_choice(TranscriberSection()).threads >= 1


def test_what_has_to_be_installed_is_said(monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    with pytest.raises(EngineError, match=r"pip install 'erc-live\[scale\]'"):
        command.recognise(ray="local")

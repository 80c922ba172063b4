"""Fixtures that every test may use."""

import difflib
import functools
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

# Before torch is imported anywhere: on a busy machine two spinning threads are far slower than one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
from hypothesis import HealthCheck, settings

# Nothing may depend on how fast the machine is at the moment. Where CI is set, Hypothesis takes its own profile "ci",
# for which that holds, too, and which tries the same examples in each run; others try new ones each time, so each run
# need not try many. `--hypothesis-profile thorough` does.
EXAMPLES = 40
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=EXAMPLES)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=1000)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=EXAMPLES)
settings.load_profile("ci" if os.environ.get("CI") else "default")

ROOT = Path(__file__).resolve().parent.parent
REAL = ("tiny.en", "smart-turn")  # what the marker `real` needs


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real recordings and corpora beside the checkout; they are not part of the project."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the recordings and corpora in {folder}")
    return folder


@functools.cache
def _weights(name: str) -> Path | None:
    from erc_live.live import config
    from erc_live.live.session.weight_cache import models_folder
    from erc_live.models.weights import locate

    return locate(name, models_folder(config.load().config.models))


def pytest_configure(config: pytest.Config) -> None:
    """Recordings are remembered in the user's data folder: not in that of whoever runs the tests."""
    data = tempfile.TemporaryDirectory(prefix="erc-data-")
    config.add_cleanup(data.cleanup)
    os.environ["XDG_DATA_HOME"] = data.name


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks at its options
def pytest_cmdline_main(config: pytest.Config) -> None:
    """All tests run in a process per processor, a chosen few in this one, unless `-n` or `-p no:xdist` is given."""
    option = config.option
    if not hasattr(option, "numprocesses") or hasattr(config, "workerinput"):  # no pytest-xdist, or one of its workers
        return
    if option.numprocesses is None and config.args_source is pytest.Config.ArgsSource.TESTPATHS:
        option.numprocesses = "logical"
        option.maxprocesses = option.maxprocesses or 4  # each takes 1 GB, and more would wait for the sessions
    if option.numprocesses and option.dist == "no":
        option.dist = "loadgroup"  # sessions of many processes, one after the other (`xdist_group`)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Chance is the same for each test, whatever ran before. Tests marked `real` run where the weights are. Where
    everything must be tried (CI is set), absent ones fail.
    """
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
    absent = [name for name in REAL if item.get_closest_marker("real") and _weights(name) is None]
    if absent:
        reason = f"needs real weights: erc-live models fetch {' '.join(absent)}"
        if os.environ.get("CI"):
            pytest.fail(f"{reason} (CI is set, so that nothing is skipped in silence)", pytrace=False)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def tiny_en() -> Path:
    """The folder with the weights of tiny.en, for tests marked `real`."""
    folder = _weights("tiny.en")
    assert folder is not None, "a test that uses these weights is to be marked `real`"
    return folder


@pytest.fixture(scope="session")
def smart_turn() -> Path:
    """The weights of the turn detector, for tests marked `real`."""
    folder = _weights("smart-turn")
    assert folder is not None, "a test that uses these weights is to be marked `real`"
    return folder / "smart-turn-v3.2-cpu.onnx"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--refresh-goldens",
        action="store_true",
        help="write tests/goldens/ anew from what the code does now; look at the difference before you commit it",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(name, text)`: the file of that name in tests/goldens/ holds `text`, or the test shows the difference."""

    def check(name: str, text: str) -> None:
        path = ROOT / "tests" / "goldens" / name
        if request.config.getoption("--refresh-goldens"):
            path.write_text(text, encoding="utf-8")
        expected = path.read_text(encoding="utf-8") if path.exists() else ""
        if text != expected:
            difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), "golden", "now", lineterm="")
            pytest.fail("\n".join([f"{name} differs (pytest --refresh-goldens):", *difference]), pytrace=False)

    return check

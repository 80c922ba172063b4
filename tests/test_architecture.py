"""The shape of the house: what stands where, how large a room may be, and that what is written about it is true."""

import ast
import re
import tomllib
from pathlib import Path

import pytest
import readme

import erc_live.streams

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("live", "models", "streams")
SOURCES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
TOP_LEVEL = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "config.toml", "tests", *ROOMS}
FILE_LINES, FUNCTION_LINES = 400, 60


def ids(path):
    return str(path.relative_to(ROOT))


def test_the_top_level_is_what_it_is_meant_to_be():
    built = {"build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert found - built == TOP_LEVEL


def test_every_package_is_listed_for_installation():
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    packages = {".".join(("erc_live", *p.parent.relative_to(ROOT).parts)) for p in SOURCES if p.name == "__init__.py"}
    assert listed == packages
    assert all((path.parent / "__init__.py").exists() for path in SOURCES)


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_files_and_functions_stay_small(path):
    text = path.read_text()
    assert text.count("\n") <= FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < FUNCTION_LINES, node.name


@pytest.mark.parametrize("path", [p for p in SOURCES if p.name != "__init__.py"], ids=ids)
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def test_the_public_names_of_streams():
    people = ["Alert", "Annotation"]
    types = ["EmotionEvent", "Gap", "Hello", "Overload", "Relabel", "SessionEnd", "SessionState", "Word", "WorkerLost"]
    functions = ["event_schema", "subscribe"]
    assert sorted(erc_live.streams.__all__) == sorted([*people, *types, "SCHEMA", "StreamLost", *functions])


def test_ci_runs_the_readme_s_test_command():
    command = readme.block("sh", "pytest")
    assert "erc-live models fetch tiny.en smart-turn" in command
    assert command in (ROOT / ".ci/run").read_text()
    assert "export CI=" in (ROOT / ".ci/run").read_text()


def test_the_demo_is_played_on_every_python_that_is_named():
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    named = {line.rpartition(" ")[2] for line in classifiers if line.startswith("Programming Language :: Python :: 3.")}
    assert ".ci/every-python" in (ROOT / ".ci/run").read_text()
    assert named <= set(re.findall(r"python(3\.\d+)", (ROOT / ".ci/every-python").read_text()))


def test_advice_to_install_something_is_what_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    declared = {*project["dependencies"], *extras["live"], *(f"erc-live[{extra}]" for extra in extras)}
    advice = [found for path in SOURCES for found in re.findall(r"pip install [^'\"]*'([^']+)'", path.read_text())]
    assert len(advice) > 5
    assert set(advice) <= declared


def test_every_file_beside_the_code_is_packed():
    packed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    folders = {package: ROOT.joinpath(*package.split(".")[1:]) for package in packed}
    found = {path for package, patterns in packed.items() for one in patterns for path in folders[package].glob(one)}
    beside = {path for top in ("live", "models", "streams") for path in (ROOT / top).rglob("*.*")}
    assert {path for path in beside if path.suffix not in (".py", ".pyc")} == found


def test_the_manual_of_sessions_lists_every_exit_code():
    from erc_live.live import errors as live
    from erc_live.models import errors as models
    from erc_live.streams import errors as streams

    manual = (ROOT / "live/README.md").read_text()
    for module in (live, models, streams):
        for error in vars(module).values():
            if isinstance(error, type) and issubclass(error, Exception):
                code = live.exit_code(error("wrong"))
                assert re.search(rf"^\| {code} \|", manual, re.MULTILINE), error

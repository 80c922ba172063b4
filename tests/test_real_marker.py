"""Tests that need real weights are never left out in silence."""

import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.mark.parametrize(("ci", "outcome", "code"), [("", "1 skipped", 0), ("true", "1 error", 1)])
def test_without_the_weights_they_are_skipped_with_a_reason_or_fail_where_everything_must_run(
    ci: str, outcome: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "conftest.py").write_text(CONFTEST.read_text())
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = real: as in pyproject\n")
    (tmp_path / "test_it.py").write_text("import pytest\n\n@pytest.mark.real\ndef test_it(tiny_en): pass\n")
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("CI", ci)
    command = [sys.executable, "-m", "pytest", "-rsE", "-p", "no:cacheprovider", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert outcome in done.stdout
    assert "erc-live models fetch tiny.en smart-turn" in done.stdout
    assert done.returncode == code

"""Processor time is seen from outside, each worker's apart, with that of what it starts."""

import subprocess
import sys
import time

from erc_live.live.bench.usage import SUPERVISOR, Usage, used_here_s

# Starts a process that is named like a worker and starts another; both burn 0.3 s when told to, and say so.
BURN = "import time\nwhile time.process_time() < {until}: pass\n"
WORKER = """
import subprocess, sys
inner = subprocess.Popen([sys.executable, "-c", {inner!r}], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print("begun", flush=True)
sys.stdin.readline()
inner.stdin.write("go\\n"); inner.stdin.flush(); inner.stdout.readline()
print("done", flush=True)
sys.stdin.readline()
inner.stdin.close()
"""


def test_what_a_worker_starts_is_the_workers() -> None:
    inner = (
        f"import sys; sys.stdin.readline(); exec({BURN.format(until=0.3)!r}); print(1, flush=True); sys.stdin.read()"
    )
    worker = WORKER.format(inner=inner)
    outer = (
        "import subprocess, sys\n"
        f"command = [sys.executable, '-c', {worker!r}, 'erc_live.live.session.workers', 'perception']\n"
        "sys.exit(subprocess.run(command).returncode)\n"
    )
    command = [sys.executable, "-c", outer]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        with Usage(process.pid) as measured:
            assert process.stdout.readline() == "begun\n"
            measured.begin()
            process.stdin.write("go\n")
            process.stdin.flush()
            assert process.stdout.readline() == "done\n"
            deadline_s = time.monotonic() + 200
            while measured.used_s().get("perception", 0.0) < 0.2 and time.monotonic() < deadline_s:
                pass  # the next reading comes by itself
            found = measured.used_s()
        process.stdin.write("end\n")
    assert set(found) == {SUPERVISOR, "perception"}
    assert 0.2 <= found["perception"] < 2.0
    assert found[SUPERVISOR] < 0.1


def test_of_a_process_that_is_gone_nothing_is_known() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        measured = Usage(process.pid)
        measured.begin()
        process.communicate(b"\n")
        measured.begin()
    assert set(measured.used_s()) <= {SUPERVISOR}


def test_this_process_counts_its_own_and_its_childrens() -> None:
    before = used_here_s()
    until = time.process_time() + 0.1
    while time.process_time() < until:
        pass
    assert 0.1 <= used_here_s() - before < 1.0

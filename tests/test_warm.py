"""A forked command is to its test what one would be that was started anew."""

import json
import os
import signal
import subprocess
import sys

import pytest

from steepest.compare.running import fork_server
from tests import warm

pytestmark = pytest.mark.skipif(not fork_server.can_fork(), reason="no forks here")

TOLD = """
import json, os, signal, sys, threading
print(json.dumps({
    "argv": sys.argv, "first": sys.path[0], "folder": os.getcwd(), "main": sorted(vars(sys.modules["__main__"])),
    "environment": dict(os.environ), "leads": os.getsid(0) == os.getpid(), "files": len(os.listdir("/proc/self/fd")),
    "streams": [[s.name, s.encoding, s.errors, s.line_buffering] for s in (sys.stdin, sys.stdout, sys.stderr)],
    "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGPIPE)],
    "blocked": len(signal.pthread_sigmask(signal.SIG_BLOCK, [])), "threads": threading.active_count(),
    "tests": [name for name in sys.modules if name.startswith("tests")],
}))
sys.exit(3)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "folder" / "script.py"
    path.parent.mkdir()
    path.write_text(TOLD)
    return path


def test_all_that_a_program_sees_is_as_in_one_that_is_started_anew(script, tmp_path):
    for words in (["-c", TOLD, "a"], [str(script), "a", "b"]):
        seen = []
        for start in (warm.run, subprocess.run):
            done = start([sys.executable, *words], cwd=tmp_path, env={**os.environ, "TINY_X": "1"},
                         stdin=subprocess.DEVNULL, capture_output=True, text=True)  # fmt: skip
            assert (done.returncode, done.stderr) == (3, "")
            seen.append(json.loads(done.stdout))
        assert seen[0].pop("files") <= seen[1].pop("files") + 1  # the way to the server of its workers
        assert seen[0] == {**seen[1], "main": seen[0]["main"]}
        assert set(seen[0]["main"]) ^ set(seen[1]["main"]) <= {
            "__loader__",
            "__package__",
            "__annotations__",
            "__cached__",
        }


def test_it_is_warm_only_where_that_makes_no_difference():
    asks = "import os; print(os.readlink('/proc/self/exe'), os.getppid(), 'torch' in __import__('sys').modules)"
    for environment, is_warm in (({}, True), ({"PYTHONHASHSEED": "7"}, False), ({"MKL_ANY": "1"}, False)):
        process = warm.Popen(
            [sys.executable, "-c", asks], env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )
        _, parent, imported = process.communicate()[0].split()
        assert (int(parent) != os.getpid(), imported == "True") == (is_warm, is_warm)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_signals_end_it(number):
    waits = "import time; print('here', flush=True); time.sleep(100)"
    with warm.Popen(
        [sys.executable, "-c", waits], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout.readline() == b"here\n"
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.01)
        os.killpg(process.pid, number)
        assert (b"KeyboardInterrupt" in process.communicate()[1]) == (number == signal.SIGINT)
    assert process.returncode == -number


def test_a_limit_and_a_failure():
    writes = "open('/tmp/{}', 'w').write('x' * 10_000)"
    name = f"steepest-{os.getpid()}"
    try:
        done = warm.run([sys.executable, "-c", writes.format(name)], limits={1: 100}, capture_output=True, text=True)
    finally:
        os.unlink(f"/tmp/{name}")
    assert done.returncode == 1
    assert "File too large" in done.stderr
    with pytest.raises(subprocess.CalledProcessError):
        warm.run([sys.executable, "-c", "raise SystemExit('told')"], check=True, stderr=subprocess.DEVNULL)

"""A command that is killed in the middle and run again, beside one that never was."""

import os
import signal
import subprocess
import sys
import time


def killed_and_whole(arguments, folder, first):
    """The folders of both; the first has the file ``first``, which was written before the kill and not again."""
    command = [sys.executable, "-m", "steepest", *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    killed, whole = folder / "killed", folder / "whole"
    process = subprocess.Popen([*command, "--out", killed], env=environment)
    kept, deadline = killed / first, time.monotonic() + 120
    while not kept.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed / "report.html").exists()
    written = kept.stat().st_mtime_ns
    for out in (killed, whole):
        subprocess.run([*command, "--out", out], env=environment, check=True, capture_output=True)
    assert kept.stat().st_mtime_ns == written
    return killed, whole

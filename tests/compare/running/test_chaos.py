"""Forty runs under fire: workers killed, commands killed, the storage stopped. The table stays the same."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from steepest.cli import run
from steepest.compare import Study
from steepest.compare.policy.finished import finished_records
from steepest.compare.records.lines import RECORDS
from tests import warm
from tests.compare import TINY_FILE
from tests.compare.records.postgresql import PostgreSQL

TINY = str(TINY_FILE)
WORKLOAD, METHODS = f"{TINY}:clouds", [f"{TINY}:slow", f"{TINY}:good"]
RUNS = 40  # 2 methods x (16 points + 4 seeds)
KILLS = 10


def command(out, jobs, *flags, **options):
    extra = [*flags, *(part for key, value in options.items() for part in (f"--{key}", str(value)))]
    return [
        sys.executable, "-m", "steepest", "compare", WORKLOAD, "--methods", ",".join(METHODS), "--trials", "16",
        "--seeds", "4", "--jobs", str(jobs), "--out", str(out), *extra,
    ]  # fmt: skip


def start(out, jobs, *flags, **options):
    with open(said_in(out), "w") as said:
        return warm.Popen(
            command(out, jobs, *flags, **options), start_new_session=True, stdout=subprocess.DEVNULL, stderr=said,
            env={**os.environ, "STEEPEST_GRACE": "2"},
        )  # fmt: skip


def said_in(out):
    return out.with_name(f"{out.name}.txt")


def ended(process, out):
    """What it said, once it ended well."""
    assert process.wait(timeout=300) == 0, said_in(out).read_text()
    return said_in(out).read_text()


def lines(out):
    return (out / RECORDS).read_text().count("\n") if (out / RECORDS).exists() else 0


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.args
        time.sleep(0.02)


def workers(pid):
    """The processes of a command's runs: its own children, or forks of the one that is there for that, which alone of
    its children has any."""
    found = []
    for folder in Path("/proc").iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):
            parent = parent_of(folder)
            is_spawned = parent == pid and b"spawn_main" in (folder / "cmdline").read_bytes()
            if is_spawned or parent_of(Path(f"/proc/{parent}")) == pid:
                found.append(int(folder.name))
    return sorted(found)


def parent_of(folder):
    return int((folder / "stat").read_text().rpartition(")")[2].split()[1])


def results(out):
    """Of every run, without what differs between two runs of the same thing: times and machine."""
    found = finished_records(out)[1]
    assert len({r.key for r in found}) == len(found)
    return {r.key: {**r.to_dict(), "started": 0, "finished": 0, "seconds": 0} for r in found}


def tables(out):
    return [line for line in (out / "report.md").read_text().splitlines() if line.startswith("| ")][:4]


@contextlib.contextmanager
def read_all_the_time(out):
    """Asks for the report again and again; every time there is one."""
    over, codes = threading.Event(), []

    def read():
        while not over.is_set():
            if (out / "spec.json").exists():
                codes.append(run(["report", str(out)]))
            over.wait(1)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
    assert codes
    assert set(codes) == {0}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "study"
    study = Study(WORKLOAD, methods=METHODS, trials=16, seeds=4, jobs=2, out=out)
    assert study.run(progress=False)
    study.report()
    assert len(results(out)) == RUNS
    return out


def assert_same(out, undisturbed):
    assert results(out) == results(undisturbed)
    assert tables(out) == tables(undisturbed)
    assert lines(out) == RUNS


@pytest.mark.slow
def test_workers_killed_ten_times(undisturbed, tmp_path):
    out, chance = tmp_path / "study", random.Random(5)
    process = start(out, 2)
    with read_all_the_time(out):
        for finished in sorted(chance.sample(range(RUNS - 4), KILLS)):
            wait_for(lambda n=finished: lines(out) >= n and workers(process.pid), process)
            time.sleep(chance.uniform(0, 0.2))
            os.kill(chance.choice(workers(process.pid)), signal.SIGKILL)
        assert ended(process, out) == ""
    assert_same(out, undisturbed)


@pytest.mark.slow
def test_the_command_killed_ten_times(undisturbed, tmp_path):
    out, chance = tmp_path / "study", random.Random(6)
    with read_all_the_time(out):
        for finished in sorted(chance.sample(range(RUNS - 4), KILLS)):
            process = start(out, 2)
            wait_for(lambda n=finished: lines(out) >= n, process)
            time.sleep(chance.uniform(0, 0.5))
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert ended(start(out, 2), out) == ""
    assert_same(out, undisturbed)


@pytest.mark.slow
def test_two_hosts_with_the_storage_stopped_and_a_host_killed(undisturbed, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    with PostgreSQL() as postgresql:
        first, second = (start(out, 1, storage=postgresql.url) for out in (a, b))
        with read_all_the_time(a):
            wait_for(lambda: lines(a) >= 3 and lines(b) >= 3, first)
            postgresql.stop()
            wait_for(lambda: "is away (" in said_in(a).read_text(), first)
            time.sleep(5)
            postgresql.start()
            os.killpg(second.pid, signal.SIGKILL)  # a run of its own in hand
            second.wait()
            told = ended(first, a)
        assert told.count("is away (") == told.count("is back after") == 1
        assert_same(a, undisturbed)
        assert ended(start(b, 1, storage=postgresql.url), b) == ""  # nothing is left to do
        assert_same(b, undisturbed)
        assert lines(a) == lines(b) == RUNS
        times = {r.started for r in finished_records(a)[1]}
        assert times == {r.started for r in finished_records(b)[1]}  # the same runs, not the same results twice
    for path in [*a.iterdir(), *b.iterdir(), said_in(a), said_in(b)]:
        assert b"s3cr" not in path.read_bytes(), path


@pytest.fixture(scope="module")
def undisturbed_early(tmp_path_factory):
    out = tmp_path_factory.mktemp("early") / "study"
    study = Study(
        WORKLOAD,
        methods=METHODS,
        trials=16,
        seeds=8,
        jobs=2,
        out=out,
        stop_early=True,
        tuning_seeds=2,
        cover_search=True,
    )
    assert study.run(progress=False)
    study.report()
    return out


EARLY = ("--stop-early", "--tuning-seeds", "2", "--cover-search", "--seeds", "8")


@pytest.mark.slow
def test_a_study_that_stops_early_killed_ten_times(undisturbed_early, tmp_path):
    """It decides the same, and runs nothing that nobody needs."""
    out, chance, runs = tmp_path / "study", random.Random(7), len(results(undisturbed_early))
    for finished in sorted(chance.sample(range(runs - 4), KILLS)):
        process = start(out, 2, *EARLY)
        wait_for(lambda n=finished: lines(out) >= n, process)
        time.sleep(chance.uniform(0, 0.5))
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert ended(start(out, 2, *EARLY), out) == ""
    assert results(out) == results(undisturbed_early)
    assert tables(out) == tables(undisturbed_early)
    assert lines(out) == runs


@pytest.mark.slow
def test_two_hosts_decide_alike_and_as_one(undisturbed_early, tmp_path):
    """One of them is killed on the way."""
    a, b = tmp_path / "a", tmp_path / "b"
    with PostgreSQL() as postgresql:
        first, second = (start(out, 1, *EARLY, storage=postgresql.url) for out in (a, b))
        wait_for(lambda: lines(a) >= 20 and lines(b) >= 20, first)
        os.killpg(second.pid, signal.SIGKILL)
        second.wait()
        assert ended(first, a) == ""
        assert ended(start(b, 1, *EARLY, storage=postgresql.url), b) == ""
        for out in (a, b):
            assert results(out) == results(undisturbed_early)
            assert tables(out) == tables(undisturbed_early)
            assert lines(out) == len(results(undisturbed_early))

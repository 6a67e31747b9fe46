"""Studies on a real Ray: one of this machine that all tests share, and Rays that a study starts for itself."""

import dataclasses
import importlib.util
import os
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cloudpickle
import pytest

from steepest._errors import InputError, MissingExtraError
from steepest.compare import Study
from steepest.compare.records.record import Job
from steepest.compare.running import ray_cluster as ray_pool
from steepest.compare.running.ray_cluster import RayPool
from steepest.compare.running.setting import Setting
from steepest.compare.running.worker import Pipe, serve
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze
from tests.compare.study.test_study import command, records, results, stopped_after
from tests.compare.tiny import clouds, dying, good, twin

TINY = str(TINY_FILE)


@pytest.fixture(scope="module")
def cluster():
    """A Ray of two CPUs, to which this process is connected; its address."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install 'steepest[ray]'")
    ray = ray_pool._import_ray()
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="CRITICAL")
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


@pytest.fixture
def ten_minutes():
    """A worker that waits for another's CPU for good fails the test, rather than the suite."""

    def expired(number, frame):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(600)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def idle(ray, cpus=2):
    """Whether nobody holds a CPU any more, soon."""
    for _ in range(1000):
        if ray.available_resources().get("CPU") == cpus:
            return True
        time.sleep(0.1)
    return False


def ray_processes(of_group):
    """What a Ray runs, of those that were started in a session."""
    listed = subprocess.run(["ps", "-eo", "sess=,args="], capture_output=True, text=True, check=True).stdout
    found = [line.split(maxsplit=1) for line in listed.splitlines()]
    return [args for session, args in found if session == str(of_group) and ("ray::" in args or "/ray/core" in args)]


@pytest.mark.slow
def test_the_command_gives_the_same_numbers(cluster, tmp_path):
    options = {"methods": "good,raising", "trials": 2, "seeds": 2, "jobs": 2}
    done = subprocess.run(
        command(tmp_path / "ray", **options, engine="ray"),
        capture_output=True, text=True, timeout=300, env={**os.environ, "RAY_ADDRESS": cluster},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    subprocess.run(command(tmp_path / "processes", **options), check=True, capture_output=True, timeout=300)
    on_ray, on_processes = (results(records(tmp_path / name)) for name in ("ray", "processes"))
    assert on_ray.keys() == on_processes.keys()
    for i in range(2):
        raised = on_ray.pop(("raising", "tune", i))
        assert raised["status"] == "failed"
        assert "ValueError: planted in step" in raised["error"]
        del on_processes["raising", "tune", i]  # the tracebacks name other files
    assert on_ray == on_processes  # digit by digit


@pytest.mark.slow
def test_a_run_that_kills_its_worker(cluster, capfd):
    spec = freeze(clouds, [dying, good], trials=1)
    lethal, harmless = (Job("clouds", name, "tune", 0, 0, {"lr": 0.1}) for name in ("dying", "good"))
    given = cloudpickle.dumps({f"given:{part.name}": part for part in (clouds, dying, good)})
    seen = []
    with RayPool(1, Setting(StudySpec((spec,)), None, given)) as pool:
        for job in (lethal, harmless):
            pool.submit(job)
            while pool.running:
                seen += pool.events(1.0)
    died, *progress, ended = seen
    assert (died.kind, died.job) == ("died", lethal)
    assert died.reason.startswith("Ray saying: The actor is dead because its worker process has died")
    assert [event.kind for event in progress] == ["progress"] * 3
    assert ended.record.status == "finished"
    time.sleep(1)
    assert capfd.readouterr() == ("", "")  # Ray's words are not for the terminal


@pytest.mark.slow
def test_pruning_is_the_same_as_with_processes(cluster, tmp_path):
    options = {"methods": [good], "trials": 4, "seeds": 1, "jobs": 1, "pruner": "halving"}
    studies = [Study(clouds, engine=engine, out=tmp_path / engine, **options) for engine in ("processes", "ray")]
    assert all(study.run(progress=False) for study in studies)
    on_processes, on_ray = (results({r.key: r for r in study.records()}) for study in studies)
    assert "pruned" in {record["status"] for record in on_ray.values()}
    assert on_ray == on_processes


@pytest.mark.slow
def test_a_study_that_stops_early_decides_as_with_processes(cluster, tmp_path):
    options = {"methods": ["sgd", "sngm"], "trials": 6, "seeds": 5, "stop_early": True, "tuning_seeds": 2}
    for engine, more in (("ray", {}), ("processes", {"jobs": 2})):
        study = Study(f"{TINY}:clouds", engine=engine, out=tmp_path / engine, **options, **more)
        assert study.run(progress=False)
    assert results(records(tmp_path / "ray")) == results(records(tmp_path / "processes"))


@pytest.mark.slow
def test_objects_travel_and_more_jobs_than_room_finish(cluster, ten_minutes, tmp_path):
    import ray

    study = Study(clouds, methods=[good, twin], trials=2, seeds=2, jobs=3, engine="ray", out=tmp_path / "study")
    assert study.run(progress=False)
    found = {record.key[1:]: record for record in study.records()}
    assert [record.status for record in found.values()] == ["finished"] * 8
    for phase in ("tune", "final"):
        assert found["good", phase, 0].curve == found["twin", phase, 0].curve
    assert idle(ray)  # and still connected: the program was before the study
    assert Study(clouds, methods=[good], engine="ray").jobs == 2


@pytest.mark.slow
def test_an_interrupted_study_leaves_the_cluster_idle_and_goes_on(cluster, tmp_path, monkeypatch):
    import ray

    monkeypatch.setenv("RAY_ADDRESS", cluster)
    out = tmp_path / "study"
    options = {"methods": "slow", "trials": 4, "seeds": 1, "epochs": 30, "jobs": 1, "engine": "ray"}
    code, stderr = stopped_after(1, out, lambda pid: os.killpg(pid, signal.SIGINT), subprocess.Popen, **options)
    assert (code, stderr) == (
        130,
        "error: interrupted with 1 of 5 runs finished; the same command resumes there.\n",
    )
    assert idle(ray)
    survived = records(out)
    again = subprocess.run(command(out, **options), capture_output=True, text=True, timeout=300)
    assert again.returncode == 0, again.stderr
    assert {key: records(out)[key] for key in survived} == survived


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_ray_of_the_study_ends_with_it(tmp_path, number):
    group = []

    def send(pid):
        group.append(pid)
        assert ray_processes(pid)
        os.kill(pid, number)

    stopped_after(1, tmp_path / "study", send, subprocess.Popen, methods="held", trials=4, engine="ray")
    # Two of Ray's processes see only after a minute that their driver was killed -9.
    for _ in range(1800):
        if not ray_processes(group[0]):
            return
        time.sleep(0.1)
    raise AssertionError(ray_processes(group[0]))


def test_room():
    cpu, cuda = (SimpleNamespace(shared=SimpleNamespace(device=device, threads=2)) for device in ("cpu", "cuda"))
    resources = {"CPU": 8.0, "GPU": 3.0}
    assert ray_pool._count_slots(resources, cpu) == 4
    assert ray_pool._count_slots(resources, cuda) == 3
    assert ray_pool._share_gpu(resources, cpu, 4) == 0
    shares = {jobs: ray_pool._share_gpu(resources, cuda, jobs) for jobs in (1, 3, 4, 6, 7)}
    assert shares == {1: 1, 3: 1, 4: 0.5, 6: 0.5, 7: 0.3333}
    with pytest.raises(InputError, match="a run needs 2 CPUs and a GPU, and the Ray cluster has 8 CPUs, 0 GPUs"):
        ray_pool._count_slots({"CPU": 8.0}, cuda)


def test_what_cannot_be_used_is_told_in_a_sentence(monkeypatch):
    with pytest.raises(InputError, match="engine must be one of processes, ray, got 'rya'"):
        Study("digits-mlp", engine="rya")
    spec = SimpleNamespace(shared=SimpleNamespace(device="cuda:1", threads=1))
    with pytest.raises(InputError, match="device must be cuda with engine ray, which picks the GPU, got cuda:1"):
        RayPool(1, Setting(spec, None))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"ray is not installed; it comes with: pip install 'steepest\[ray\]'"):
        Study("digits-mlp", engine="ray")


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("ray://somewhere:10001", "RAY_ADDRESS must be the host:port of a cluster that this machine belongs to"),
        ("nowhere", "Ray at RAY_ADDRESS 'nowhere' cannot be used"),
    ],
)
def test_an_address_that_cannot_be_used(address, sentence, monkeypatch):
    ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'steepest[ray]'")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setenv("RAY_ADDRESS", address)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(InputError, match=sentence), ray_pool.connected():
        pass
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_node_with_other_data_or_another_file_than_the_study_began_with():
    spec = freeze("digits-mlp", [f"{TINY}:good"], trials=1, epochs=1)
    job = Job("digits-mlp", "good", "tune", 0, 0, {"lr": 0.1})

    def record(frozen):
        jobs, said = iter([job]), []
        pipe = Pipe(lambda: next(jobs, None) or _closed(), said.append)
        serve(pipe, Setting(StudySpec((frozen,)), None))
        return said[-1]

    assert record(spec).status == "finished"
    other_data = dataclasses.replace(spec, workload=dataclasses.replace(spec.workload, data_sha256="0"))
    assert "the data of 'digits-mlp' on" in record(other_data).error
    other_file = dataclasses.replace(spec, methods=(dataclasses.replace(spec.methods[0], source_sha256="0"),))
    assert "differs from what the study began with" in record(other_file).error


def _closed():
    raise EOFError

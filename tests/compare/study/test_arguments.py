"""What cannot be used is one sentence that names the argument as it was written: in Python, as a flag, in a file."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest._errors import InputError, StudyError, argument, spelled_by
from steepest.cli import run
from steepest.compare import Method, Range, Study, names
from steepest.compare.policy.pruners import PRUNERS
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.process.group import STRATEGIES
from tests.compare import TINY_FILE

TINY = f"{TINY_FILE}:clouds"

# An argument, a value in Python, the same as flags, the same in a file, and what is said of it after its name.
FACES = [
    ("trials", 0, "--trials 0", "0", "must be at least 1, got 0"),
    ("seeds", -1, "--seeds -1", "-1", "must be at least 1, got -1"),
    ("trials", 10**30, f"--trials {10**30}", f"{10**30}", f"must be at most 100,000, got {10**30}"),
    ("jobs", 0, "--jobs 0", "0", "must be at least 1, got 0"),
    ("epochs", 0, "--epochs 0", "0", "must be at least 1, got 0"),
    ("epochs", {"x": 3}, "--epochs x=3", "{ x = 3 }", "names 'x', which is not compared on"),
    ("batch_size", [9, 0], "--batch-size 9,0", "[9, 0]", "must be at least 1, got 0"),
    ("batch_size", [9, 9], "--batch-size 9,9", "[9, 9]", "must name each size once, got 9 more than once"),
    ("targets", 95.0, "--targets 95", "95.0", "of clouds: accuracy must be a fraction from 0 to 1, such as 0.95"),
    ("targets", float("nan"), "--targets nan", "nan", "of clouds: accuracy must be a fraction from 0 to 1"),
    ("schedule", "wavy", "--schedule wavy", "'wavy'", "must be one of linear, constant, "),
    ("pruner", "x", "--pruner x", "'x'", "must be one of median, halving, got 'x'"),
    ("strategy", "dp", "--strategy dp", "'dp'", "must be one of ddp, fsdp2, got 'dp'"),
    ("strategy", "ddp", "--strategy ddp", "'ddp'", "ddp runs on processes that torchrun starts"),
    ("engine", "x", "--engine x", "'x'", "must be one of processes, ray, got 'x'"),
    ("device", "gpu", "--device gpu", "'gpu'", "must be auto, cpu, cuda, cuda:1, mps or the like, got 'gpu'"),
    ("data_dir", "", "--data-dir=", "''", "must be the path of a folder, got ''"),
    ("data_dir", "/no/such", "--data-dir /no/such", "'/no/such'", "must be an existing folder, got '/no/such'"),
    ("out", "", "--out=", "''", "must be the path of a folder, got ''"),
    ("out", "/dev/null", "--out /dev/null", "'/dev/null'", "must be a folder that can be written, got '/dev/null'"),
    ("checkpoint_seconds", -1, "--checkpoint-seconds -1", "-1", "must be at least 0, got -1"),
    ("log", "x", "--log x", "'x'", "must be one of wandb, mlflow, trackio, got 'x'"),
    ("storage", "", "--storage=", "''", "must be postgresql://"),
    ("study", "x", "--study x", "'x'", "names a study in a "),
    ("space", {"x": {"lr": (1, 2)}}, "--space x.lr=1:2", "{ x = { lr = [1, 2] } }", "names 'x', which is not compared"),
    (
        "space",
        {"sgd": {"rate": (1, 2)}},
        "--space sgd.rate=1:2",
        "{ sgd = { rate = [1, 2] } }",
        "of sgd: its optimizer cannot be made from lr, rate",
    ),
]  # fmt: skip


@pytest.fixture
def quietly(monkeypatch, tmp_path):
    """In a folder of its own, and not under torchrun."""
    monkeypatch.chdir(tmp_path)
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("name", "value", "flags", "toml", "said"), FACES)
def test_each_face_names_the_argument_as_it_was_written_there(quietly, capsys, name, value, flags, toml, said):
    options = {"methods": "sgd", name: value}
    with pytest.raises(InputError) as found:
        Study(TINY, **options).run(progress=False)
    assert f"{name} {said}" in str(found.value)
    assert "--" not in str(found.value).partition("; type: ")[0]

    flag = flags.replace("=", " ").split()[0]
    assert run(["compare", TINY, "--methods", "sgd", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {flag} {said}")
    assert error.count("\n") == 1

    for key in {name, name.replace("_", "-")}:
        Path("study.toml").write_text(f"workloads = '{TINY}'\nmethods = 'sgd'\n{key} = {toml}\n")
        assert run(["compare", "study.toml"]) == 2
        assert f"error: key '{key}' of 'study.toml' {said}" in capsys.readouterr().err
        with pytest.raises(InputError) as found:
            Study.from_file("study.toml").run(progress=False)
        assert f"key '{key}' of 'study.toml' {said}" in str(found.value)
    assert not list(Path().glob("studies/*"))


def test_a_flag_beside_a_file_is_named_as_a_flag(quietly, capsys):
    Path("study.toml").write_text(f"workloads = '{TINY}'\nmethods = 'sgd'\njobs = 2\nspace.b = {{ lr = [1, 2] }}\n")
    assert run(["compare", "study.toml", "--jobs", "0"]) == 2
    assert "error: --jobs must be at least 1" in capsys.readouterr().err
    assert run(["compare", "study.toml", "--space", "a.lr=1:2"]) == 2
    assert "error: --space names 'a'" in capsys.readouterr().err
    assert run(["compare", "study.toml", "--lr-range", "sgd=1:2"]) == 2
    assert "error: key 'space' of 'study.toml' names 'b'" in capsys.readouterr().err


def test_a_range_of_the_learning_rate_is_named_by_the_flag_that_gave_it(capsys):
    for flag, value in (("--lr-range", "none=0.1:1"), ("--space", "none.lr=0.1:1")):
        assert run(["compare", TINY, "--methods", "sgd", flag, value]) == 2
        assert f"error: {flag} names 'none', which is not compared here" in capsys.readouterr().err


WRONG = [
    {"workloads": []}, {"workloads": None}, {"workloads": 3}, {"workloads": [TINY, 3]}, {"workloads": {TINY}},
    {"workloads": Path(TINY)}, {"workloads": (t for t in [TINY])},
    {"methods": []}, {"methods": ()}, {"methods": {"sgd", "sngm"}}, {"methods": ["sgd", "sgd"]}, {"methods": None},
    {"methods": (m for m in ["sgd"])}, {"methods": {"sgd": {}}}, {"methods": torch.optim.SGD}, {"methods": [b"sgd"]},
    {"trials": True}, {"trials": 2.0}, {"trials": "8"}, {"trials": 0}, {"trials": None}, {"trials": [8]},
    {"seeds": 0}, {"seeds": [1, 2, 3]}, {"seeds": range(3)}, {"seeds": np.float64(3)},
    {"epochs": {}}, {"epochs": 1.5}, {"epochs": {3: 1}}, {"epochs": {"clouds": "3"}}, {"epochs": [3]},
    {"batch_size": []}, {"batch_size": {}}, {"batch_size": {"clouds": []}}, {"batch_size": {8, 9}}, {"batch_size": "8"},
    {"targets": {}}, {"targets": []}, {"targets": "0.9"}, {"targets": True}, {"targets": [0.9, None]},
    {"space": []}, {"space": {"sgd": {}}}, {"space": {"sgd": (0.1, 1)}}, {"space": {"sgd": {"lr": (1, 0.1)}}},
    {"space": {"sgd": {"lr": 0.1}}}, {"space": {"sgd": {"lr": ("0.1", "1")}}}, {"space": {"sgd": {"lr": {"lo": 1}}}},
    {"space": {"sgd": {"lr": {"low": 1, "high": 2, "log": "no"}}}}, {"space": {"sgd": {"lr": (0, 1)}}},
    {"space": {"sgd": {"lr": (0.1, float("nan"))}}}, {"space": {"sgd": {3: (0.1, 1)}}}, {"space": Range(0.1, 1)},
    {"schedule": None}, {"schedule": ["linear"]}, {"schedule": "Linear"}, {"sharpness": 1}, {"sharpness": "yes"},
    {"pruner": True}, {"pruner": ""}, {"strategy": 3}, {"strategy": ""}, {"engine": None}, {"engine": []},
    {"device": 5}, {"device": None}, {"device": ""}, {"device": "cpu:x"},
    {"out": 3}, {"out": ""}, {"out": b"x"}, {"out": "a\0b"}, {"out": []}, {"data_dir": ""}, {"data_dir": 3},
    {"jobs": 0}, {"jobs": True}, {"jobs": 1.0}, {"jobs": "2"}, {"checkpoint_seconds": "30"},
    {"checkpoint_seconds": float("nan")}, {"checkpoint_seconds": True}, {"storage": 3}, {"study": 3}, {"study": ""},
    {"log": None}, {"log": 3}, {"log": {"wandb"}}, {"log": ["wandb", 3]}, {"save_weights": 1}, {"save_weights": None},
]  # fmt: skip


@pytest.mark.parametrize("options", WRONG, ids=lambda options: "-".join(options))
def test_a_wrong_argument_in_python_is_one_sentence_before_anything_is_done(quietly, options):
    (name,) = options
    with pytest.raises(InputError) as found:
        Study(**{"workloads": TINY, "methods": "sgd", **options}).spec  # noqa: B018
    assert name in str(found.value)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 250
    assert not list(Path().iterdir())


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.binary(max_size=3),
    st.lists(st.integers(-1, 1), max_size=2), st.dictionaries(st.text(max_size=2), st.none() | st.text(), max_size=1),
    st.sampled_from([object(), object, torch.nn.Linear(1, 1), torch.zeros(2), np.arange(2), Method, Path("x")]),
)  # fmt: skip


ANY = [
    "trials", "seeds", "epochs", "batch_size", "targets", "space", "schedule", "sharpness", "pruner", "device", "out",
    "data_dir", "jobs", "checkpoint_seconds", "engine", "study", "methods",
]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(ANY), value=JUNK)
def test_whatever_is_given_a_study_takes_it_or_says_what_is_wrong_with_it(name, value):
    try:
        Study(TINY, **{name: value})
    except InputError as error:
        assert name in str(error)  # noqa: PT017


def test_what_means_the_same_is_taken():
    study = Study(
        (TINY,),
        methods=("sgd",),
        trials=np.int64(2),
        targets=np.float32(0.5),
        device=torch.device("cpu"),
        out=Path("x"),
        space={"sgd": {"lr": (np.float64(0.1), 1)}},
    )
    assert study.spec.comparisons[0].trials == 2
    assert study.folder == Path("x")


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_file_of_another_editor_is_read(quietly, ending, encoding):
    text = ending.join([f"workloads = '{TINY}'", "methods = 'sgd'", "trials = 3", ""])
    Path("study.toml").write_bytes(text.encode(encoding))
    assert Study.from_file("study.toml").spec.comparisons[0].trials == 3


def test_a_file_in_another_encoding_is_one_sentence(quietly, capsys):
    for encoding, said in (
        ("utf-16", "is in UTF-16; save it in UTF-8"),
        ("latin-1", "must be in UTF-8, and byte 2 is"),
    ):
        Path("study.toml").write_bytes("#é\nworkloads = 'digits-mlp'".encode(encoding))
        assert run(["compare", "study.toml"]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1


def test_a_key_that_is_said_twice_is_one_sentence(quietly):
    Path("study.toml").write_text("workloads = 'digits-mlp'\nbatch_size = 8\nbatch-size = 9\n")
    with pytest.raises(InputError, match=r"'study\.toml' must say 'batch_size' once, and says it as 'batch-size' too"):
        Study.from_file("study.toml")


def test_the_names_in_help_are_those_that_are_taken():
    assert tuple(SCHEDULES) == names.SCHEDULES
    assert tuple(PRUNERS) == names.PRUNERS
    assert tuple(STRATEGIES) == names.STRATEGIES


def test_an_error_of_either_kind_is_spelled_once():
    for kind in (InputError, StudyError):
        error = kind(f"{argument('out')} and {argument('data_dir')}")
        with pytest.raises(kind), spelled_by(lambda name, *_: "OUT" if name == "out" else None):
            raise error
        assert str(error) == "OUT and data_dir"
        assert error.spelled(str.upper) == "OUT and DATA_DIR"


def test_a_study_of_which_nothing_finished_is_an_error_in_python_too(quietly):
    study = Study(TINY, methods=TINY.replace(":clouds", ":raising"), trials=1, seeds=1, jobs=1, out="out")
    with pytest.raises(StudyError, match=r"no run of the search finished: .*; see out/report\.html"):
        study.run(progress=False)
    assert (Path("out") / "report.html").exists()
    assert len(study.records()) == 1

"""What a study is about: that it notices when the user's files, data or objects are others than they were."""

import dataclasses
import json
import os
import py_compile
import re
import runpy
import subprocess
import sys
import zipfile

import pytest
import torch
from torch import nn

from steepest._errors import ChangedError, InputError, StudyError
from steepest.compare import Method, Range, Study, Workload
from steepest.compare.identity.checks import check_fresh_models, check_unchanged, refusal_in
from steepest.compare.identity.digests import data_digest
from steepest.compare.records.folder import fingerprint
from steepest.compare.records.record import Job
from steepest.compare.running.setting import Setting
from steepest.compare.running.worker import Pipe, serve
from steepest.compare.spec import StudySpec
from steepest.data import Split
from steepest.training.code.lookup import find_method, find_workload, load_data
from tests.compare import tiny
from tests.compare.study.frozen import freeze

TASK = """
import torch
from torch import nn
from steepest.compare import Method, Range, Workload
{imports}
def load(_):
    x = torch.arange(36.0).reshape(12, 3)
    return [(x, torch.arange(12) % 2)] * 3
def model():
    {within}
    return nn.Linear(3, 2)
w = Workload({name!r}, load, model, 4, 1, 0.9)
m = Method({name!r}, torch.optim.SGD, {{"lr": Range(0.01, 1.0)}})
"""


def task(folder, imports="", within="", name="helper", files=None):
    """A user's file and others beside it, by their paths; returns what the file's workload is named by."""
    for file, text in (files or {}).items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    folder.mkdir(exist_ok=True)
    (folder / "task.py").write_text(TASK.format(imports=imports, within=within, name=name))
    return f"{folder / 'task.py'}:w"


def spec_of(reference, methods=("sgd",)):
    return freeze(reference, list(methods), trials=2, seeds=2)


LITERAL = "import importlib; importlib.import_module('literal')"
KINDS = {  # what is changed, what the file imports at its top and within a function, and the files beside it
    "beside it": ("alone.py", "import alone", "", {"alone.py": "A = 1"}),
    "by an import": ("other.py", "from one import *", "", {"one.py": "import other", "other.py": ""}),
    "in a package": ("pack/part.py", "import pack.part", "", {"pack/part.py": ""}),
    "a package's own": (
        "p2/deep.py",
        "import p2",
        "",
        {"p2/__init__.py": "from .deep import A", "p2/deep.py": "A = 1"},
    ),
    "by two dots": ("p3/a.py", "import p3.s", "", {"p3/a.py": "", "p3/s/__init__.py": "from .. import a"}),
    "in a function": ("late.py", "", "import late", {"late.py": ""}),
    "in one that nobody calls": ("never.py", "def f():\n    from never import A", "", {"never.py": ""}),
    "by a literal": ("literal.py", "", LITERAL, {"literal.py": ""}),
    "by a made name": ("computed.py", "__import__('comp' + 'uted')", "", {"computed.py": "import more", "more.py": ""}),
    "by such a one": ("more2.py", "__import__('made' + '2')", "", {"made2.py": "import more2", "more2.py": ""}),
    "by a made name in a function": ("latest.py", "", "__import__('lat' + 'est')", {"latest.py": ""}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_imported_is_in_the_digest(kind, tmp_path):
    changed, imports, within, files = KINDS[kind]
    reference = task(tmp_path, imports, within, files=files)
    spec = spec_of(reference)
    assert spec.differences(spec_of(reference)) == []
    path = tmp_path / changed
    path.write_text(path.read_text() + "  # another\n")
    name = changed.removesuffix(".py").replace("/", ".")
    assert spec.differences(spec_of(reference)) == [
        f"module {name} of workload 'helper' was changed since the study began"
    ]


READ = {  # the same, by code that nothing imports by its name
    "by its path": (
        "parts/net.py",
        "from importlib.util import *; s = spec_from_file_location('n', __file__.replace('task', 'parts/net')); "
        "s.loader.exec_module(module_from_spec(s))",
        "",
        {"parts/net.py": "A = 1"},
    ),
    "by a loader": (
        "parts/net2.py",
        "import importlib.machinery as i\n"
        "i.SourceFileLoader('n2', __file__.replace('task', 'parts/net2')).load_module()",
        "",
        {"parts/net2.py": "A = 1"},
    ),
    "run": ("run.py", "import runpy; runpy.run_path(__file__.replace('task', 'run'))", "", {"run.py": "A = 1"}),
    "run as text": ("text.py", "", "exec(open(__file__.replace('task', 'text')).read())", {"text.py": "A = 1"}),
}


@pytest.mark.parametrize("kind", READ)
def test_a_file_of_code_that_is_read_and_run_is_in_the_digest(kind, tmp_path):
    changed, imports, within, files = READ[kind]
    reference = task(tmp_path, imports, within, files=files)
    spec = spec_of(reference)
    assert spec.differences(spec_of(reference)) == []
    check_unchanged(spec.workload)
    (tmp_path / changed).write_text("A = 2  # another")
    with pytest.raises(ChangedError, match=f"the file {changed} of 'helper' on "):
        check_unchanged(spec.workload)
    assert spec.differences(spec_of(reference)) == [
        f"file {changed} of workload 'helper' was changed since the study began"
    ]


def test_what_is_imported_from_an_archive_or_without_its_source(tmp_path):
    reference = task(
        tmp_path,
        f"import sys\nsys.path.append({str(tmp_path / 'a.zip')!r})\nimport packed, bare",
        files={"bare.py": "A = 1"},
    )
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("packed.py", "A = 1")
    py_compile.compile(str(tmp_path / "bare.py"), cfile=str(tmp_path / "bare.pyc"))
    (tmp_path / "bare.py").unlink()
    assert spec_of(reference).workload.code.keys() == {"packed", "bare"}


def test_installed_modules_pythons_own_and_ours_are_not_the_users(tmp_path):
    installed = tmp_path / "target"
    (installed / "theirs-1.0.dist-info").mkdir(parents=True)
    (installed / "theirs_installed.py").write_text("import sklearn")
    imports = f"import sys, json, numpy, sklearn.datasets, steepest.optim\nsys.path.append({str(installed)!r})"
    assert spec_of(task(tmp_path / "own", f"{imports}\nimport theirs_installed")).workload.code == {}


def test_a_file_that_is_missing_or_new_is_told(tmp_path):
    reference = task(tmp_path, "try:\n    import fast_one\nexcept ImportError:\n    pass")
    before = spec_of(reference)
    (tmp_path / "fast_one.py").write_text("")
    find_workload.__globals__["loading"]._LOADED.clear()  # as in a new process
    sys.modules.pop(next(name for name in sys.modules if name.startswith("steepest_user_")))
    after = spec_of(reference)
    assert before.differences(after) == ["module fast_one of workload 'helper' was not there"]
    assert after.differences(before) == ["module fast_one of workload 'helper' is missing here"]


def test_a_process_that_lives_long_sees_the_files_as_they_are(tmp_path):
    reference = task(tmp_path, "from lows import LOW\nm = 1", files={"lows.py": "LOW = 0.25"}).replace(":w", ":ours")
    path = tmp_path / "task.py"
    path.write_text(path.read_text() + "ours = Method('ours', torch.optim.SGD, {'lr': Range(LOW, 1.0)})\n")
    assert spec_of("digits-mlp", [reference]).methods[0].space["lr"].low == 0.25
    (tmp_path / "lows.py").write_text("LOW = 0.125")
    assert spec_of("digits-mlp", [reference]).methods[0].space["lr"].low == 0.125


def test_two_modules_of_one_name_are_not_mixed(tmp_path):
    one = task(tmp_path / "a", "import mynet", name="one", files={"mynet.py": "A = 1"}).replace(":w", ":m")
    other = task(tmp_path / "b", "import mynet", name="other", files={"mynet.py": "A = 2"}).replace(":w", ":m")
    for references in ([one, other], [f"{tmp_path / 'a' / 'task.py'}:w", other]):
        with pytest.raises(
            InputError, match=r"two modules of the name 'mynet', .*/a/mynet.py and .*/b/mynet.py; rename"
        ):
            spec_of(references[0] if ":w" in references[0] else "digits-mlp", [r for r in references if ":m" in r])
    codes = [spec_of("digits-mlp", [reference]).methods[0].code["mynet"] for reference in (one, other, one)]
    assert codes[0] == codes[2] != codes[1]


def test_the_import_path_stays_as_it_was(tmp_path):
    before = list(sys.path)
    reference = task(
        tmp_path, "import sys\nsys.path.insert(0, 'somewhere')", "import beside_it", files={"beside_it.py": ""}
    )
    for _ in range(3):
        spec_of(reference)
    assert sys.path == before
    assert isinstance(find_workload(reference).model(), nn.Module)  # which imports what lies beside its file
    assert find_method(reference.replace(":w", ":m")).name == "helper"


ONCE = """
import json, sys, torch
from torch import nn
from steepest.compare import Method, Range, Study, Workload
BATCHES = {"train", "validation", "test", "more"}
class Net(nn.Module):
    def __init__(self):
        super().__init__(); self.layer = nn.Linear(3, 2)
    def forward(self, x):
        return self.layer(x) if BATCHES else x
w = Workload("given", lambda _: [(torch.arange(36.0).reshape(12, 3), torch.arange(12) % 2)] * 3, Net, 4, 1, 0.9,
             loss=lambda o, t, *, k=2: nn.functional.cross_entropy(o, t) * k)
m = Method("sgd", lambda p, lr: torch.optim.SGD(p, lr=lr), {"lr": Range(0.01, 1.0)}, fixed={"hook": print},
           prepare=lambda model: [0.5 in {0.25, 0.5}, model])
files = sys.argv[1:]
study = Study([w, *files], methods=[m], trials=2, seeds=2, device="cpu")
print(json.dumps({part.name: part.code for part in study.spec.parts}, sort_keys=True))
"""


@pytest.mark.slow
def test_digests_are_the_same_in_every_process_and_order(tmp_path, monkeypatch, capsys):
    files = [task(tmp_path / name, "import shared, json", name=name) for name in ("a", "b")]
    (tmp_path / "a" / "shared.py").write_text("A = 1")
    (tmp_path / "b" / "shared.py").symlink_to(tmp_path / "a" / "shared.py")
    script = tmp_path / "script.py"
    script.write_text(ONCE)
    done = subprocess.run(
        [sys.executable, script, *files], capture_output=True, text=True, env={**os.environ, "PYTHONHASHSEED": "1"}
    )
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(sys, "argv", ["script.py", *files[::-1]])
    runpy.run_path(str(script), run_name="__main__")
    found = json.loads(done.stdout)
    assert found == json.loads(capsys.readouterr().out)
    assert found["a"].keys() == found["b"].keys() == {"shared"}
    assert set(found["given"]) == {"given:model", "given:loss", "given:metric"}
    assert set(found["sgd"]) == {"given:optimizer", "given:prepare", "given:fixed"}


def clouds(**changes):
    def load(_):
        return [(torch.arange(36.0).reshape(12, 3), torch.arange(12) % 2)] * 3

    usual = {"name": "w", "data": load, "model": lambda: nn.Linear(3, 2), "batch_size": 4, "epochs": 1, "target": 0.9}
    return Workload(**{**usual, **changes})


def test_a_changed_object_is_another_study():
    def method(optimizer=lambda p, lr: torch.optim.SGD(p, lr=lr), **options):
        return Method("own", optimizer, {"lr": Range(0.01, 1.0)}, **options)

    spec = spec_of(clouds(), [method()])
    assert spec.differences(spec_of(clouds(), [method()])) == []
    assert spec.differences(spec_of(clouds(model=lambda: nn.Linear(3, 2, bias=False)), [method()])) == [
        "the model of workload 'w' was changed since the study began"
    ]
    assert spec.differences(spec_of(clouds(), [method(lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9))])) == [
        "the optimizer of method 'own' was changed since the study began"
    ]
    assert spec.differences(spec_of(clouds(), [method(prepare=lambda model: None)])) == [
        "the prepare of method 'own' was not there"
    ]


def test_data_that_differ_from_call_to_call_are_refused(tmp_path):
    generator = torch.Generator()

    def unseeded(_):
        order = torch.randperm(12)
        return [(torch.arange(36.0).reshape(12, 3)[order], torch.arange(12)[order] % 2)] * 3

    def own_generator(_):
        return [(torch.rand(12, 3, generator=generator), torch.arange(12) % 2)] * 3

    for load in (unseeded, own_generator):
        with pytest.raises(InputError, match="the data of 'w' differ from call to call: fix its seed"):
            spec_of(clouds(data=load))


def test_the_users_random_numbers_are_left_as_they_were():
    torch.manual_seed(3)
    expected = torch.rand(3)
    torch.manual_seed(3)
    spec_of(clouds())
    assert torch.equal(torch.rand(3), expected)


def test_data_that_differ_by_process_end_the_study_before_anything_is_trained(tmp_path):
    reference = task(tmp_path, "import os")
    path = tmp_path / "task.py"
    path.write_text(path.read_text().replace("36.0)", "36.0).add(os.getpid())"))
    study = Study(reference, methods=["sgd"], trials=1, seeds=1, jobs=1, device="cpu", out=tmp_path / "study")
    sentence = (
        "the data of 'helper' on .* differs from what the study began with: they must be the same in every process"
    )
    with pytest.raises((StudyError, InputError), match=sentence):
        study.run(progress=False)
    assert study.records() == []


def refused(reference, change=lambda: None, methods=("sgd",)):
    """Why a worker refuses its first run."""
    spec = spec_of(reference, methods)
    change()
    jobs, said = iter([Job("helper", spec.methods[0].name, "tune", 0, 0, spec.methods[0].points[0])]), []

    def receive():
        if (job := next(jobs, None)) is None:
            raise EOFError
        return job

    serve(Pipe(receive, said.append), Setting(StudySpec((spec,)), None))
    return refusal_in(said[-1].error)


def test_a_worker_refuses_code_that_has_changed(tmp_path):
    reference = task(tmp_path, "import mynet", files={"mynet.py": "A = 1"})
    own = reference.replace(":w", ":m")
    assert refused(reference, methods=(own,)) is None
    sentence = refused(reference, lambda: (tmp_path / "mynet.py").write_text("A = 2"))
    assert re.fullmatch("the module mynet of 'helper' on .* differs from what the study began with", sentence)
    sentence = refused(reference, lambda: (tmp_path / "mynet.py").unlink(), methods=(own,))
    assert re.fullmatch("the module mynet of 'helper' on .* differs from what the study began with", sentence)


def test_a_worker_refuses_code_that_nobody_could_foresee(tmp_path):
    reference = task(tmp_path, files={"unforeseen.py": ""})
    path = tmp_path / "task.py"
    loss = "def loss(o, t):\n    __import__('unfore' + 'seen')\n    return o.sum()\nw ="
    path.write_text(path.read_text().replace("4, 1, 0.9", "4, 1, 0.9, loss=loss").replace("w =", loss))
    assert "module unforeseen was imported while a run went on, which no digest can foresee" in refused(reference)


def seeded_at_import():
    generator = torch.Generator().manual_seed(0)

    def model():
        found = nn.Linear(3, 2)
        nn.init.normal_(found.weight, generator=generator)
        return found

    return model


def one_model():
    model = nn.Linear(3, 2)
    return lambda: model


def same_body():
    body = nn.Linear(3, 3)
    return lambda: nn.Sequential(body, nn.Linear(3, 2))


def pretrained(freeze):
    weights = torch.ones(5, 3)
    return lambda: nn.Sequential(nn.Embedding.from_pretrained(weights, freeze=freeze), nn.Linear(3, 2))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        (one_model(), "is not a new one at every call: weight is shared"),
        (same_body(), "is not a new one at every call: 0.weight is shared"),
        (pretrained(freeze=False), "is not a new one at every call: 0.weight is shared"),
        (seeded_at_import(), "initial weights of 'w' differ between two calls with the same seed, first in weight"),
    ],
)
def test_models_that_are_not_fresh(model, sentence):
    with pytest.raises(InputError, match=sentence):
        spec_of(clouds(model=model))


@pytest.mark.parametrize("model", [lambda: nn.LazyLinear(2), pretrained(freeze=True), lambda: nn.Linear(3, 2).half()])
def test_models_that_are_fresh(model):
    check_fresh_models(clouds(model=model), 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("D = {}\ndef f(): return D['foo']\nf()", r"KeyError: 'foo' \(boom.py, line 2\)$"),
        ("import json\njson.loads('{')", r"JSONDecodeError: .* \(boom.py, line 2\)$"),
        ("def broken(:", r"SyntaxError: .* \(boom.py, line 1\)$"),
        ("raise ValueError('one\\ntwo')", r"ValueError: one \(boom.py, line 1\)$"),
        ("import sys; sys.exit(3)", r"SystemExit: 3 \(boom.py, line 1\)$"),
    ],
)
def test_an_error_tells_where_in_the_users_code_it_arose(text, said, tmp_path):
    reference = task(tmp_path, "import boom", files={"boom.py": text})
    with pytest.raises(InputError, match=rf"task.py could not be imported: {said}"):
        find_workload(reference)
    sys.modules.pop("boom", None)


def test_a_program_that_ends_itself_in_a_users_function_is_an_error_with_its_place(tmp_path):
    """Even if it says that all is well."""
    reference = task(tmp_path, within="import sys; sys.exit(0)")
    with pytest.raises(
        InputError, match=r"the model of 'helper' could not be built: SystemExit: 0 \(task.py, line 10\)"
    ):
        spec_of(reference)
    path = tmp_path / "task.py"
    path.write_text(path.read_text().replace("return [(x", "raise SystemExit; return [(x"))
    with pytest.raises(InputError, match=r"the data of 'helper' could not be loaded: SystemExit \(task.py, line 8\)"):
        spec_of(reference)


def rounded_by_threads(data_dir=None):
    """As standardized images are: a mean over so many numbers depends on the number of threads."""
    clouds = tiny.two_clouds(None)
    many = torch.randn(4_000_000, generator=torch.Generator().manual_seed(0))
    shift = many.sum() - many.sum().round()
    return clouds.each(lambda split: Split(split.inputs + shift, split.targets))


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def test_data_do_not_depend_on_the_number_of_threads(two_threads, tmp_path):
    """The command has all cores, a worker one thread."""
    workload = dataclasses.replace(tiny.clouds, name="rounded", data=rounded_by_threads)
    digests = {n: data_digest(load_data(workload, None, n)) for n in (1, 2)}
    assert digests[1] != digests[2]  # else this tests nothing
    assert data_digest(load_data(workload, None)) == digests[1]
    assert torch.get_num_threads() == 2
    study = Study(workload, methods=[tiny.good], trials=1, seeds=1, epochs=1, jobs=1, out=tmp_path / "study")
    assert study.run(progress=False)
    frozen = study.spec.comparisons[0]
    assert (frozen.workload.data_sha256, frozen.workload.data_sha256_before) == (digests[1], digests[2])
    older = dataclasses.replace(
        frozen, workload=dataclasses.replace(frozen.workload, data_sha256=digests[2], data_sha256_before=None)
    )
    assert older.differences(frozen) == []  # a folder from before data was made with one thread
    other = dataclasses.replace(older, workload=dataclasses.replace(older.workload, data_sha256="0"))
    assert other.differences(frozen) == ["workload.data differs"]
    assert fingerprint(StudySpec((frozen,))) == fingerprint(
        StudySpec(
            (dataclasses.replace(frozen, workload=dataclasses.replace(frozen.workload, data_sha256_before=None)),)
        )
    )

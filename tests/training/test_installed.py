"""What other installed packages offer by entry points, as an installed package has them."""

import sys

import pytest
from rich.console import Console

from steepest._errors import InputError
from steepest.cli.catalogue import print_instruments, print_methods, print_workloads
from steepest.compare import Study
from steepest.training.code.installed import installed
from steepest.training.code.lookup import find_instrument, find_method, reference_of

CODE = """
import torch
from contextlib import contextmanager
from steepest.compare import Estimator, Instrument, Method, Range, Resumable
from tests.compare.tiny import two_clouds, clouds
import dataclasses

cool = Method("cool", torch.optim.SGD, space={"lr": Range(1e-3, 1.0)}, description="sgd, but cool")
w = dataclasses.replace(clouds, name="their-clouds")
steps = Instrument("steps", lambda view: view.step)

@contextmanager
def attach(model, optimizer, seed):
    yield Resumable(lambda batch: batch.backward())

plain = Estimator("plain", attach, "points")
"""
ENTRY_POINTS = """
[steepest.methods]
cool = coolpackage.parts:cool
sgd = coolpackage.parts:cool
[steepest.workloads]
their-clouds = coolpackage.parts:w
[steepest.estimators]
plain = coolpackage.parts:plain
[steepest.instruments]
steps = coolpackage.parts:steps
broken = coolpackage.gone:steps
"""


def install(site, name, entry_points, code=None):
    info = site / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(entry_points)
    if code is not None:
        (site / name).mkdir()
        (site / name / "__init__.py").write_text("")
        (site / name / "parts.py").write_text(code)


@pytest.fixture
def site(tmp_path, monkeypatch):
    install(tmp_path / "site", "coolpackage", ENTRY_POINTS, CODE)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path / 'site'}:{':'.join(sys.path)}")
    yield tmp_path / "site"
    for name in [name for name in sys.modules if name.startswith("coolpackage")]:
        del sys.modules[name]


@pytest.mark.slow
def test_a_study_of_an_installed_package_s_parts(site, tmp_path):
    study = Study(
        "their-clouds", methods=["sgd", "cool", "plain+cool"], trials=1, seeds=1, epochs=1, jobs=1, measure="steps",
        out=tmp_path / "study",
    )  # fmt: skip
    assert study.run(progress=False)
    [comparison] = study.spec.comparisons
    assert comparison.workload.reference == "coolpackage.parts:w"
    assert [m.reference for m in comparison.methods] == [
        "sgd",  # a built-in name stays what it is
        "coolpackage.parts:cool",
        "coolpackage.parts:plain+coolpackage.parts:cool",
    ]
    assert comparison.instruments[0].reference == "coolpackage.parts:steps"
    assert comparison.workload.source_sha256 is not None
    assert [r.measures for r in study.records() if r.phase == "final"] == [{"steps": 6}] * 3


def test_they_are_listed_without_being_imported(site):
    for show, names in (
        (print_methods, ["cool", "plain", "coolpackage.parts:plain"]),
        (print_workloads, ["their-clouds"]),
        (print_instruments, ["steps", "broken", "coolpackage.gone:steps"]),
    ):
        console = Console(width=200, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
        show(console)
        text = console.export_text()
        assert all(name in text for name in [*names, "from installed packages"]), text
    assert "coolpackage.parts" not in sys.modules


def test_what_cannot_be_had_is_a_sentence(site):
    with pytest.raises(InputError, match=r"coolpackage\.gone"):
        find_instrument("broken")
    with pytest.raises(InputError, match="unknown method 'coool'; did you mean 'cool'"):
        find_method("coool")
    install(site, "other", "[steepest.methods]\ncool = other.parts:cool\n")
    with pytest.raises(
        InputError,
        match=r"2 installed packages offer the method 'cool'; write it as coolpackage.parts:cool or other.parts:cool",
    ):
        reference_of("cool")


@pytest.mark.parametrize("kind", ["workload", "method", "estimator", "instrument"])
def test_where_nothing_is_installed_only_our_own_rooms_offer_something(kind):
    for point in installed(kind):
        assert point.value.startswith("steepest.")
        point.load()

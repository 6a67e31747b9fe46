"""The same study once more: other points and seeds, and nothing else."""

import dataclasses
import itertools

import pytest

from steepest._errors import InputError
from steepest.cli import run as steepest
from steepest.compare import Study
from tests.compare import TINY_FILE

WORKLOAD = f"{TINY_FILE}:clouds"
OPTIONS = [
    {},
    {"tuning_seeds": 3},
    {"stop_early": True},
    {"cover_search": True, "tuning_seeds": 2},
    {"sampler": "tpe"},
    {"values": {"sgd": {"lr": 0.1}, "sngm": {"lr": 0.1}}},
]


def spec(**options):
    return Study(WORKLOAD, methods=["sgd", "sngm"], **options).spec.shared


def seeds_of(spec):
    searches = range(spec.searches) if spec.trials else ()
    return {*spec.seeds, *itertools.chain.from_iterable(spec.tuning_seeds(search) for search in searches)}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.slow
def test_every_replication_has_seeds_and_points_of_its_own(options):
    several = [spec(replication=number, **options) for number in (0, 1, 2, 100)]
    for one, other in itertools.combinations(several, 2):
        assert not seeds_of(one) & seeds_of(other)
        for method in one.methods if one.trials else ():
            first, second = (s.points(s.method(method.name)) for s in (one, other))
            assert not {str(p) for p in first} & {str(p) for p in second}
    assert [s.replication for s in several] == [0, 1, 2, 100]


def test_the_first_is_the_study_without_it():
    assert spec(replication=0) == spec()


def test_nothing_else_differs():
    plain, again = spec(), spec(replication=3)
    same = {f.name for f in dataclasses.fields(plain)} - {"tuning_seed", "seeds", "more_tuning_seeds", "methods"}
    assert all(getattr(plain, name) == getattr(again, name) for name in same)
    bare = [[dataclasses.replace(m, points=(), more_points=()) for m in s.methods] for s in (plain, again)]
    assert bare[0] == bare[1]


@pytest.mark.slow
def test_it_has_a_folder_of_its_own_and_refuses_that_of_another(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small = ["--methods", "sgd", "--trials", "1", "--seeds", "1", "--epochs", "1", "--jobs", "1"]
    assert steepest(["compare", WORKLOAD, *small]) == 0
    assert steepest(["compare", WORKLOAD, *small, "--replication", "2"]) == 0
    assert sorted(p.name for p in (tmp_path / "studies").iterdir()) == ["clouds", "clouds-replication-2"]
    capsys.readouterr()
    assert steepest(["compare", WORKLOAD, *small, "--replication", "1", "--out", "studies/clouds"]) == 2
    assert "replication" in capsys.readouterr().err


@pytest.mark.parametrize("given", [-1, 101, 1.0, True, "1"])
def test_other_numbers_are_refused(given):
    with pytest.raises(InputError, match=r"^replication must be"):
        spec(replication=given)

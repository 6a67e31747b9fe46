"""The symbols of a data folder as a workload, and the methods of the full batch that it is compared by."""

import pytest
import torch

from steepest._errors import InputError
from steepest.formulas.recognition import methods, workloads
from steepest.formulas.sets import write_set
from steepest.training.code.lookup import find_method, find_workload, load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.train import train
from tests.formulas.sets.drawn import drawn_set

FULL_BATCH = ["gradient_descent", "rprop"]


def folder_with(tmp_path, name, each=20):
    place = tmp_path / "data" / name
    place.parent.mkdir(parents=True)
    write_set(drawn_set(each), place)
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["logic-symbols/train.npz", "logic-symbols.csv", "logic-symbols.zip", "logic-symbols"])
def test_the_data_is_parted_the_same_way_wherever_it_lies(tmp_path, name):
    splits = workloads.logic_symbols_data(folder_with(tmp_path, name))
    assert sum(map(len, splits)) == 100
    assert [len(part) for part in splits] == [pytest.approx(n, abs=12) for n in (70, 10, 20)]
    assert splits.train.inputs.dtype == torch.float32
    assert set(splits.train.targets.tolist()) == set(range(5))
    of = [set(map(bytes, part.inputs.to(torch.uint8).numpy())) for part in splits]
    assert len(of[0] | of[1] | of[2]) == sum(map(len, of))


def test_without_the_data_it_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.delenv("STEEPEST_DATA", raising=False)
    with pytest.raises(InputError, match="no data folder was given"):
        workloads.logic_symbols_data(None)
    with pytest.raises(InputError, match=r"logic-symbols needs logic-symbols/train\.npz"):
        workloads.logic_symbols_data(tmp_path)
    with pytest.raises(InputError, match="at least 10 symbols"):
        workloads.logic_symbols_data(folder_with(tmp_path, "logic-symbols.npz", each=1))


def test_the_variants_have_the_units_that_their_names_say():
    for name, hidden in (("logic_symbols", 500), ("logic_symbols_100", 100), ("logic_symbols_200_sigmoid", 200)):
        workload = find_workload(f"steepest.formulas.recognition.workloads:{name}")
        assert workload.name == name.replace("_", "-")
        assert workload.model().settings["hidden"] == hidden
        assert workload.model().settings["activation"] == ("sigmoid" if "sigmoid" in name else "relu")
    assert workloads.logic_symbols_sigmoid.name == "logic-symbols-sigmoid"
    assert sum(p.numel() for p in workloads.logic_symbols_cnn.model().parameters()) <= 120_000


@pytest.mark.parametrize("name", FULL_BATCH)
def test_methods_of_the_full_batch_learn_in_a_step_an_epoch(tmp_path, name):
    method = find_method(f"steepest.formulas.recognition.methods:{name}")
    assert method is getattr(methods, name)
    workload = workloads.logic_symbols
    splits = load_data(workload, folder_with(tmp_path, "logic-symbols.npz"))
    per_epoch = len(splits.train) // 16
    values = {"lr": {"gradient_descent": 0.5, "rprop": 1e-3}[name]}
    outcome = train(Assignment(workload, method, splits, values, 0, 15, 16), with_test=False)
    assert outcome.curve["gradient_evaluations"] == [per_epoch * k for k in range(1, 16)]
    assert outcome.validation_metric >= 0.8

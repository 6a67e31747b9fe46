"""Bad arguments are refused in one sentence that names them."""

import numpy as np
import pytest
import torch

from steepest.theory.committee import Committee, OrderParameters

MADE = [
    ({"teacher": 0}, ValueError, "teacher must be at least 1, got 0"),
    ({"teacher": True}, TypeError, "teacher must be an int, got True"),
    ({"student": -1}, ValueError, "student must be at least 1, got -1"),
    ({"student": [1.0, 2.0]}, ValueError, r"student must have 2 dimensions, none empty, got shape \(2,\)"),
    ({"student": "three"}, TypeError, "student must be an array of numbers, got str"),
    ({"teacher": [[np.nan, 1.0]]}, ValueError, "teacher must be finite, got nan"),
    ({"teacher": np.ones((2, 5)), "student": np.ones((2, 4))}, ValueError, "N must be one number, got 5 of teacher, 4"),
    ({"activation": "tanh"}, ValueError, "activation must be one of 'erf', 'relu', 'linear', got 'tanh'"),
    ({"lr": 0.0}, ValueError, "lr must be a finite number above 0, got 0.0"),
    ({"lr": "a"}, ValueError, "lr must be a finite number above 0, got 'a'"),
    ({"lr_output": 0.1}, ValueError, "lr_output must be None unless train='both', got 0.1"),
    ({"lr_output": 0.0, "train": "both"}, ValueError, "lr_output must be a finite number above 0, got 0.0"),
    ({"noise": -1}, ValueError, "noise must be a finite number of at least 0, got -1"),
    ({"weight_decay": np.inf}, ValueError, "weight_decay must be a finite number of at least 0, got inf"),
    ({"train": "second"}, ValueError, "train must be one of 'first', 'both', got 'second'"),
    ({"start": "zero"}, ValueError, "start must be one of 'random', 'small', 'informed', 'denoiser', got 'zero'"),
    (
        {"start": "informed", "student": 1},
        ValueError,
        "start='informed' takes at least as many units as the teacher's 2",
    ),
    (
        {"start": "small", "student": np.ones((1, 4))},
        ValueError,
        "start must be None where student is given as weights",
    ),
    ({"teacher_output": [1.0]}, ValueError, "teacher_output must hold a weight for each of 2 units, got 1"),
    ({"student_output": 1.0}, ValueError, "student_output must have 1 dimension, none empty, got shape"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), MADE)
def test_of_a_committee(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Committee(**{"teacher": 2, "student": 3, "lr": 0.1, **options})


GOOD = Committee(2, 3, lr=0.1).start()
PREDICTED = [
    ({"times": []}, ValueError, "times must have 1 dimension, none empty"),
    ({"times": [1.0, 0.5]}, ValueError, "times must ascend from at least 0, got"),
    ({"times": [-1.0]}, ValueError, "times must ascend from at least 0, got"),
    ({"rtol": 1e-6}, ValueError, "rtol must be at most 1e-8, or a plateau's length is the solver's, got 1e-06"),
    ({"atol": 0}, ValueError, "atol must be a finite number above 0, got 0"),
    ({"method": "RK23"}, ValueError, "method must be one of 'LSODA', 'DOP853', got 'RK23'"),
    ({"asymmetry": -1.0}, ValueError, "asymmetry must be a finite number of at least 0, got -1.0"),
    ({"seed": 0.5}, TypeError, "seed must be an int, got 0.5"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"start": tuple(GOOD)}, TypeError, "start must be OrderParameters, got tuple"),
    ({"start": GOOD._replace(v=np.ones(2))}, ValueError, r"start.v must have shape \(3,\), got \(2,\)"),
    ({"start": GOOD._replace(Q=GOOD.Q[None])}, ValueError, r"start.Q must have 2 dimensions"),
    (
        {"start": GOOD._replace(R=GOOD.R + 1)},
        ValueError,
        r"start must be a covariance of local fields, got one with an",
    ),
    ({"start": GOOD._replace(Q=GOOD.Q + np.eye(3, k=1))}, ValueError, r"start.Q and start.T must be symmetric"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), PREDICTED)
def test_of_a_prediction(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Committee(2, 3, lr=0.1).predict(**{"times": [1.0], **options})


SIMULATED = [
    ({"N": None}, ValueError, "N must be given where neither teacher, student nor inputs are arrays, got None"),
    ({"N": 0}, ValueError, "N must be at least 1, got 0"),
    ({"N": 10.0}, TypeError, "N must be an int, got 10.0"),
    ({"seeds": 0}, ValueError, "seeds must be at least 1, got 0"),
    ({"seeds": []}, ValueError, "seeds must hold at least one, got none"),
    ({"seeds": [1, "a"]}, TypeError, "seeds must be an int, got 'a'"),
    ({"times": [2, 1]}, ValueError, "times must ascend"),
    ({"samples": 0}, ValueError, "samples must be at least 1, got 0"),
    ({"inputs": torch.ones(5, 9)}, ValueError, "N must be one number, got 10 of N, 9 of inputs"),
    ({"inputs": torch.ones(5, 10), "samples": 6}, ValueError, "samples must be at most the 5 rows of inputs, got 6"),
    (
        {"inputs": torch.ones(5)},
        ValueError,
        r"inputs must be floating-point numbers of shape \(rows, ...\), got float32",
    ),
    ({"inputs": torch.ones(5, 10).int()}, ValueError, r"inputs must be floating-point numbers .*, got int32 of shape"),
    ({"inputs": torch.full((5, 10), torch.nan)}, ValueError, "inputs must be finite"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), SIMULATED)
def test_of_a_simulation(options, error, sentence):
    with pytest.raises(error, match=sentence):
        Committee(2, 3, lr=0.1).simulate(**{"N": 10, "times": [1.0], **options})


def test_of_the_error():
    with pytest.raises(TypeError, match="of must be OrderParameters or a module, got int"):
        Committee(2, 3, lr=0.1).generalization_error(1)
    many = OrderParameters(*(np.stack([part, part]) for part in GOOD))
    assert Committee(2, 3, lr=0.1).generalization_error(many).shape == (2,)

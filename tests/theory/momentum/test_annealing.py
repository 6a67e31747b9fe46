"""A run in pieces: factors by steps or by a function, and what is refused."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steepest.theory.momentum import Annealing
from steepest.theory.momentum.annealing import Piece, pieces_of, stretches

FACTORS = st.dictionaries(st.integers(0, 30), st.sampled_from([0.5, 1.0, 1.05]), max_size=4)


def held(factors, step):
    """The factor of the last of these steps that has come."""
    return next((factors[k] for k in sorted(factors, reverse=True) if k <= step), 1.0)


@given(lr=FACTORS, momentum=FACTORS, steps=st.integers(0, 40))
def test_a_dict_and_the_function_that_does_the_same_give_the_same_pieces(lr, momentum, steps):
    by_dict = pieces_of(Annealing(lr=lr, momentum=momentum), 0.1, 0.9, steps)
    functions = Annealing(lr=lambda step: held(lr, step), momentum=lambda step: held(momentum, step))
    assert by_dict == pieces_of(functions, 0.1, 0.9, steps)
    settings = [(p.lr, p.momentum) for p in by_dict for _ in range(p.steps)]
    assert settings == [(0.1 * held(lr, k), 0.9 * held(momentum, k)) for k in range(steps)]
    assert [p.first for p in by_dict] == [sum(q.steps for q in by_dict[:i]) for i in range(len(by_dict))]
    assert all((p.lr, p.momentum) != (q.lr, q.momentum) for p, q in pairwise(by_dict))


@given(lr=FACTORS, steps=st.integers(1, 40), marks=st.sets(st.integers(0, 40), min_size=1))
def test_the_ways_between_marks_make_up_the_run(lr, steps, marks):
    marks = sorted({min(mark, steps) for mark in marks})
    pieces = pieces_of(Annealing(lr=lr), 0.1, 0.9, steps)
    ways = list(stretches(pieces, marks))
    assert [sum(p.steps for p in way) for way in ways] == [b - a for a, b in zip([0, *marks], marks, strict=False)]
    walked = [(p.first + k, p.lr) for way in ways for p in way for k in range(p.steps)]
    assert walked == [(k, 0.1 * held(lr, k)) for k in range(marks[-1])]


def test_without_annealing_there_is_one_piece():
    assert pieces_of(None, 0.1, 0.9, 7) == [Piece(0, 7, 0.1, 0.9)] == pieces_of(Annealing(), 0.1, 0.9, 7)


REFUSED = [
    ({"lr": 0.1}, TypeError, "annealing of lr must be a dict of factors or a function, got 0.1"),
    ({"momentum": {-1: 0.5}}, ValueError, "annealing of momentum: a step must be at least 0, got -1"),
    ({"momentum": {0.5: 0.5}}, TypeError, "annealing of momentum: a step must be an int, got 0.5"),
    ({"lr": {3: "0.1"}}, ValueError, "the factor of lr at step 3 must be a finite number, got '0.1'"),
    ({"lr": lambda step: None}, ValueError, "the factor of lr at step 0 must be a finite number, got None"),
    ({"lr": {3: math.nan}}, ValueError, "the factor of lr at step 3 must be a finite number, got nan"),
    ({"lr": {3: 0.0}}, ValueError, "lr times its factor at step 3 must be a finite number above 0, got 0.0"),
    ({"momentum": {3: 2.0}}, ValueError, r"momentum times its factor at step 3 must be a number in \[0, 1\), got 1.8"),
    ({"lr": {3: 30.0}}, ValueError, r"lr must be below 2 \(1 \+ momentum\) / curvature = 1.9, .* curvature 2, got 3"),
]


@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_factors_are_refused(options, error, sentence):
    with pytest.raises(error, match=sentence):
        pieces_of(Annealing(**options), 0.1, 0.9, 10, curvature=2.0)


def test_another_object_is_refused():
    with pytest.raises(TypeError, match=r"annealing must be an Annealing or None, got \{3: 0.1\}"):
        pieces_of({3: 0.1}, 0.1, 0.9, 10)

"""Gradients through permutations: the Plackett-Luce law, and gradients of a black box's mean under it."""

from steepest.gradients.permutations.biased import RelaxedSort
from steepest.gradients.permutations.black_box import one_by_one
from steepest.gradients.permutations.control_variates import REBAR, RELAX, FreeCritic, RelaxedCritic
from steepest.gradients.permutations.estimator import Estimate, OrderGradient
from steepest.gradients.permutations.plackett_luce import PlackettLuce
from steepest.gradients.permutations.relaxations import neural_sort, permutation_matrix, sinkhorn_sort
from steepest.gradients.permutations.score_function import ScoreFunction, score_gradient

__all__ = [
    "REBAR",
    "RELAX",
    "Estimate",
    "FreeCritic",
    "OrderGradient",
    "PlackettLuce",
    "RelaxedCritic",
    "RelaxedSort",
    "ScoreFunction",
    "neural_sort",
    "one_by_one",
    "permutation_matrix",
    "score_gradient",
    "sinkhorn_sort",
]

"""The Plackett-Luce law against enumeration, torch's autograd and SciPy's tests of distributions."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from steepest.gradients.permutations import PlackettLuce, neural_sort, permutation_matrix, sinkhorn_sort
from steepest.gradients.permutations.plackett_luce import ENUMERATED, accumulate, permutations, perturb_given

logit_lists = st.lists(st.floats(-80, 80), min_size=1, max_size=6)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def probability(logits, order):
    """By the definition, item after item."""
    weights, found = [math.exp(value) for value in logits], 1.0
    for place, item in enumerate(order):
        found *= weights[item] / sum(weights[other] for other in order[place:])
    return found


@settings(deadline=None)
@given(logit_lists)
def test_probabilities_sum_to_one(values):
    law = PlackettLuce(torch.tensor(values, dtype=torch.float64))
    assert law.log_prob(law.enumerate_support()).exp().sum().item() == pytest.approx(1)


def test_probabilities_are_those_of_the_definition():
    logits = normal(5)
    law = PlackettLuce(logits)
    for order in itertools.permutations(range(5)):
        found = law.log_prob(torch.tensor(order)).exp().item()
        assert found == pytest.approx(probability(logits.tolist(), order), rel=1e-12)


def test_samples_are_as_frequent_as_probabilities():
    torch.manual_seed(0)
    law = PlackettLuce(normal(4))
    drawn, orders = law.sample((100_000,)), law.enumerate_support()
    counts = (drawn[:, None] == orders).all(dim=-1).sum(dim=0).numpy()
    assert stats.chisquare(counts, law.log_prob(orders).exp().numpy() * 100_000).pvalue > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_far_apart_logits_have_finite_probabilities_and_gradients(dtype):
    logits = torch.tensor([80.0, -80.0, 0.0, 80.0, -80.0], dtype=dtype, requires_grad=True)
    law = PlackettLuce(logits)
    logs = law.log_prob(law.enumerate_support())
    assert torch.isfinite(logs).all()
    (slope,) = torch.autograd.grad(logs.sum(), logits)
    assert torch.isfinite(slope).all()
    assert torch.isfinite(law.score(law.enumerate_support())).all()
    given_order = law.sample_conditional(law.enumerate_support())
    assert torch.isfinite(given_order).all()


@settings(deadline=None)
@given(logit_lists)
def test_the_score_is_the_gradient_of_log_prob(values):
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    law = PlackettLuce(logits)
    for order in law.enumerate_support()[:: max(1, math.factorial(len(values)) // 6)]:
        (slope,) = torch.autograd.grad(law.log_prob(order), logits)
        torch.testing.assert_close(law.score(order), slope, rtol=1e-8, atol=1e-8)


def test_gradients_are_those_of_differences():
    order = torch.tensor([[2, 0, 3, 1], [0, 1, 2, 3]])
    assert torch.autograd.gradcheck(lambda logits: PlackettLuce(logits).log_prob(order), normal(4).requires_grad_())
    waits = normal(2, 4).exp()
    assert torch.autograd.gradcheck(lambda logits: perturb_given(logits, order, waits), normal(4).requires_grad_())


@settings(deadline=None)
@given(st.lists(st.floats(-700, 700), min_size=1, max_size=9))
def test_sums_of_exponentials_are_accumulated(values):
    logs = torch.tensor(values, dtype=torch.float64)
    torch.testing.assert_close(accumulate(logs), logs.logcumsumexp(dim=-1))


def test_gradients_can_be_differentiated_again_where_they_are_0():
    waits, order = normal(4).exp(), torch.tensor([1, 3, 0, 2])
    slope = torch.tensor([0.0, 1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    logits = normal(4).requires_grad_()
    (path,) = torch.autograd.grad((perturb_given(logits, order, waits) * slope).sum(), logits, create_graph=True)
    (twice,) = torch.autograd.grad(path.square().sum(), slope)
    assert torch.isfinite(twice).all()
    assert torch.autograd.gradgradcheck(lambda t: perturb_given(t, order, waits), normal(4).requires_grad_())


@settings(deadline=None)
@given(logit_lists, st.integers(0, 2**31))
def test_what_is_drawn_given_an_order_sorts_to_it(values, seed):
    torch.manual_seed(seed)
    law = PlackettLuce(torch.tensor(values, dtype=torch.float64))
    order = torch.randperm(len(values))
    assert law.sample_conditional(order).argsort(descending=True, stable=True).tolist() == order.tolist()


def test_over_random_orders_it_is_gumbels_law():
    torch.manual_seed(1)
    logits = normal(4)
    law = PlackettLuce(logits)
    z = law.sample_conditional(law.sample((20_000,)))
    for place in range(4):
        assert stats.kstest(z[:, place].numpy(), stats.gumbel_r(loc=logits[place].item()).cdf).pvalue > 1e-3
    noise = (z - logits).numpy()
    assert np.abs(np.corrcoef(noise.T) - np.eye(4)).max() < 4 / math.sqrt(20_000)


def test_given_an_order_it_has_the_law_of_gumbels_that_happened_to_sort_so():
    torch.manual_seed(2)
    logits = normal(3)
    law = PlackettLuce(logits)
    noise = logits - torch.empty(200_000, 3, dtype=torch.float64).exponential_().log()
    happened = noise[(noise.argsort(descending=True) == torch.tensor([1, 0, 2])).all(dim=-1)]
    drawn = law.sample_conditional(torch.tensor([1, 0, 2]).expand(20_000, 3))
    for place in range(3):
        assert stats.ks_2samp(drawn[:, place].numpy(), happened[:, place].numpy()).pvalue > 1e-3


def test_mode_is_the_likeliest():
    law = PlackettLuce(normal(5))
    orders = law.enumerate_support()
    assert law.mode.tolist() == orders[law.log_prob(orders).argmax()].tolist()
    assert PlackettLuce(torch.zeros(3)).mode.tolist() == [0, 1, 2]


def test_entropy_is_that_of_the_probabilities():
    law = PlackettLuce(normal(2, 3))
    p = law.log_prob(law.enumerate_support()).exp().numpy()
    np.testing.assert_allclose(law.entropy().numpy(), stats.entropy(p, axis=0))
    assert PlackettLuce(torch.zeros(4, dtype=torch.float64)).entropy().item() == pytest.approx(math.log(24))


def test_batches_are_their_members():
    logits = normal(2, 3, 4)
    law = PlackettLuce(logits)
    assert (law.batch_shape, law.event_shape) == ((2, 3), (4,))
    drawn = law.sample((5,))
    assert drawn.shape == (5, 2, 3, 4)
    logs = law.log_prob(drawn)
    assert logs.shape == (5, 2, 3)
    alone = PlackettLuce(logits[1, 2])
    torch.testing.assert_close(logs[:, 1, 2], alone.log_prob(drawn[:, 1, 2]))
    torch.testing.assert_close(law.score(drawn)[:, 1, 2], alone.score(drawn[:, 1, 2]))
    assert law.enumerate_support().shape == (24, 2, 3, 4)
    assert law.enumerate_support(expand=False).shape == (24, 1, 1, 4)
    assert law.sample_conditional(drawn).shape == drawn.shape


def test_expand_repeats_the_law():
    law = PlackettLuce(normal(4)).expand((3, 2))
    assert (law.batch_shape, law.event_shape, law.logits.shape) == ((3, 2), (4,), (3, 2, 4))
    assert isinstance(law, PlackettLuce)
    assert law.sample((7,)).shape == (7, 3, 2, 4)
    order = torch.tensor([3, 1, 0, 2])
    torch.testing.assert_close(law.log_prob(order), PlackettLuce(normal(4)).log_prob(order).expand(3, 2))


@pytest.mark.parametrize("order", [[0, 0, 1], [0, 1, 3], [-1, 0, 1]])
def test_what_is_no_order_is_refused(order):
    with pytest.raises(ValueError, match="within the support"):
        PlackettLuce(torch.zeros(3), validate_args=True).log_prob(torch.tensor(order))
    assert not permutations.check(torch.tensor(order))


@pytest.mark.parametrize(
    ("logits", "sentence"),
    [
        ([1.0], r"logits must be floating-point numbers of shape \(..., d\), got \[1.0\]"),
        (torch.tensor(1.0), r"got float32 of shape \(\)"),
        (torch.tensor([1, 2]), r"got int64 of shape \(2,\)"),
        (torch.zeros(2, 0), r"got float32 of shape \(2, 0\)"),
        (torch.tensor([0.0, math.inf]), "logits must be finite"),
        (torch.tensor([0.0, math.nan]), "logits"),
    ],
)
def test_bad_logits_are_refused(logits, sentence):
    with pytest.raises(ValueError, match=sentence):
        PlackettLuce(logits, validate_args=True)  # others in this process may have turned torch's default off


def test_only_few_items_are_listed():
    with pytest.raises(NotImplementedError, match=f"at most {ENUMERATED} items, got 9"):
        PlackettLuce(torch.zeros(9)).enumerate_support()


def test_neural_sort_is_the_formula_and_becomes_the_sort():
    scores, tau, d = normal(5), 0.7, 5
    found = neural_sort(scores, tau)
    for i in range(1, d + 1):
        row = torch.stack([((d + 1 - 2 * i) * s - (s - scores).abs().sum()) / tau for s in scores]).softmax(dim=0)
        torch.testing.assert_close(found[i - 1], row)
    order = scores.argsort(descending=True)
    hard = permutation_matrix(order, torch.float64).expand(3, 5, 5)
    torch.testing.assert_close(neural_sort(scores.expand(3, 5), 1e-3), hard, atol=1e-6, rtol=0)
    torch.testing.assert_close(sinkhorn_sort(scores.expand(3, 5), 0.05, 3000), hard, atol=1e-3, rtol=0)


def test_sinkhorn_makes_rows_and_columns_sum_to_one():
    found = sinkhorn_sort(normal(2, 6), 2.0, iterations=200)
    torch.testing.assert_close(found.sum(dim=-1), torch.ones(2, 6, dtype=torch.float64))
    torch.testing.assert_close(found.sum(dim=-2), torch.ones(2, 6, dtype=torch.float64))


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.inf, math.nan, torch.tensor(0.0)])
def test_a_temperature_is_above_0(temperature):
    with pytest.raises(ValueError, match="temperature must be a finite number above 0"):
        neural_sort(torch.zeros(3), temperature)

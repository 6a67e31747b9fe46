"""Every estimator against the gradient by enumeration; what they write, and what they refuse."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.gradients.permutations import (
    REBAR,
    RELAX,
    FreeCritic,
    PlackettLuce,
    RelaxedSort,
    ScoreFunction,
    one_by_one,
    permutation_matrix,
    score_gradient,
)
from steepest.gradients.permutations.plackett_luce import exponentials, perturb, perturb_given

D = 4


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


COSTS = normal(D, D, seed=3)


def quadratic(matrices):
    """A function of matrices that is not linear in them."""
    return ((matrices * COSTS).sum(dim=(-2, -1)) + 1.5).square()


def black_box(orders):
    return quadratic(permutation_matrix(orders, torch.float64))


def theta(seed=1):
    return (0.7 * normal(D, seed=seed)).requires_grad_()


def exact(logits, f=black_box):
    law = PlackettLuce(logits)
    orders = law.enumerate_support()
    (found,) = torch.autograd.grad((law.log_prob(orders).exp() * torch.as_tensor(f(orders))).sum(), logits)
    return found


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


UNBIASED = {
    "reinforce": lambda logits, g: ScoreFunction(logits, generator=g),
    "leave-one-out": lambda logits, g: ScoreFunction(logits, "leave-one-out", generator=g),
    "rebar": lambda logits, g: REBAR(logits, quadratic, generator=g),
    "relax": lambda logits, g: RELAX(logits, generator=g),
    "relax of f": lambda logits, g: RELAX(logits, quadratic, generator=g),
    "relax of a critic": lambda logits, g: RELAX(logits, critic=FreeCritic(logits, hidden=5), generator=g),
}
BIASED = {
    kind: lambda logits, g, kind=kind: RelaxedSort(logits, quadratic, kind, generator=g)
    for kind in ("neural-sort", "straight-through", "gumbel-sinkhorn")
}
ALL = UNBIASED | BIASED


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.slow
def test_the_mean_is_the_gradient(name):
    torch.manual_seed(0)
    logits = theta()
    estimator = UNBIASED[name](logits, seeded())
    drawn = estimator.draw(100_000)
    terms = estimator.terms(drawn, black_box(drawn.orders))
    error = terms.std(dim=0) / math.sqrt(len(terms))
    assert ((terms.mean(dim=0) - exact(logits)).abs() <= 4 * error).all()


@pytest.mark.parametrize("name", UNBIASED)
@pytest.mark.slow
def test_the_variance_that_is_told_is_how_estimates_differ(name):
    torch.manual_seed(0)
    logits = theta()
    estimator = UNBIASED[name](logits, seeded(1))
    found = [estimator.backward(black_box, samples=8) for _ in range(600)]
    spread = torch.stack([each.gradient for each in found]).var(dim=0).sum().item()
    assert np.mean([each.variance for each in found]) == pytest.approx(spread, rel=0.25)


def test_of_single_samples_the_variance_is_told_from_the_calls():
    logits = theta()
    estimator = ScoreFunction(logits, generator=seeded())
    found = [estimator.backward(black_box) for _ in range(2000)]
    assert math.isnan(found[0].variance)
    spread = torch.stack([each.gradient for each in found]).var(dim=0).sum().item()
    assert np.mean([each.variance for each in found[200:]]) == pytest.approx(spread, rel=0.2)


def test_control_variates_take_variance_away():
    torch.manual_seed(0)
    logits = theta()
    spread = {}
    for name in ("reinforce", "rebar", "relax"):
        estimator = UNBIASED[name](logits, seeded(2))
        if name == "relax":
            optimizer = torch.optim.Adam(estimator.parameters(), lr=0.01)
            for _ in range(400):
                optimizer.zero_grad()
                estimator.backward(black_box, samples=50)
                optimizer.step()
        drawn = estimator.draw(20_000)
        spread[name] = estimator.terms(drawn, black_box(drawn.orders)).var(dim=0).sum().item()
    assert spread["rebar"] < 0.7 * spread["reinforce"]
    assert spread["relax"] < 0.5 * spread["reinforce"]


def test_the_identity_behind_the_control_variate():
    """E[dc(z) - dc(z~)] = E[c(z~) S]."""
    torch.manual_seed(0)
    logits, critic = theta(), FreeCritic(theta(), hidden=6)
    law = PlackettLuce(logits)
    spread = logits.detach().expand(100_000, D).clone().requires_grad_()
    z = perturb(spread, exponentials((100_000, D), logits))
    order = z.detach().argsort(dim=-1, descending=True)
    other = critic(perturb_given(spread, order, exponentials((100_000, D), logits)))
    (left,) = torch.autograd.grad((critic(z) - other).sum(), spread)
    apart = left - (other.detach()[:, None] * law.score(order))
    assert (apart.mean(dim=0).abs() <= 4 * apart.std(dim=0) / math.sqrt(100_000)).all()


def test_critics_get_the_gradient_of_the_squared_estimate():
    torch.manual_seed(0)
    logits = theta()
    estimator = REBAR(logits, quadratic, generator=seeded())
    estimator.backward(black_box, samples=16)
    told = estimator.critic.scale.grad.item()

    def squared(scale):
        estimator.critic.scale.data.fill_(scale)
        estimator.generator.manual_seed(0)
        drawn = estimator.draw(16)
        return estimator.terms(drawn, black_box(drawn.orders)).square().sum(dim=1).mean().item()

    assert told == pytest.approx((squared(1 + 1e-5) - squared(1 - 1e-5)) / 2e-5, rel=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_f_is_called_once_with_all_orders_and_gradients_add_up(name):
    torch.manual_seed(0)
    logits, calls = theta(), []

    def f(orders):
        calls.append(orders)
        assert not torch.is_grad_enabled()
        return black_box(orders)

    estimator = ALL[name](logits, seeded())
    one = estimator.backward(f, samples=6)
    assert (len(calls), calls[0].shape, one.evaluations) == (1, (6, D), 6)
    torch.testing.assert_close(logits.grad, one.gradient)
    two = estimator.backward(f, samples=2)
    torch.testing.assert_close(logits.grad, one.gradient + two.gradient)
    assert one.value == pytest.approx(black_box(one.orders).mean().item())
    order, value = one.best
    assert value == one.values.min().item() == pytest.approx(black_box(order[None]).item())
    assert not one.gradient.requires_grad


@pytest.mark.parametrize("name", ALL)
@pytest.mark.slow
def test_an_optimizer_finds_the_best_order(name):
    torch.manual_seed(0)
    logits = torch.zeros(D, dtype=torch.float64, requires_grad=True)
    best = black_box(PlackettLuce(logits).enumerate_support()).min().item()
    estimator = ALL[name](logits, seeded())
    optimizer = torch.optim.Adam([logits, *estimator.parameters()], lr=0.05)
    for _ in range(400):
        optimizer.zero_grad()
        estimator.backward(black_box, samples=8)
        optimizer.step()
    reached = black_box(PlackettLuce(logits).mode[None]).item()
    assert reached <= best + (0.5 if name in BIASED else 1e-9)


@pytest.mark.parametrize("name", ALL)
def test_the_same_generator_gives_the_same_gradient(name):
    found = []
    for _ in range(2):
        torch.manual_seed(5)
        logits = theta()
        found.append(ALL[name](logits, seeded(4)).backward(black_box, samples=3).gradient)
    assert torch.equal(*found)


def test_functions_of_arrays_and_of_one_order_and_lists_will_do():
    logits = theta()

    def jumps(order):
        return float(np.floor(order[0] * 1.7)) + (order[-1] == 0)

    def of_arrays(orders):
        return np.floor(orders.numpy()[:, 0] * 1.7) + (orders.numpy()[:, -1] == 0)

    right = exact(logits, of_arrays)
    for f in (one_by_one(jumps), of_arrays, lambda orders: of_arrays(orders).tolist()):
        found = ScoreFunction(logits, "leave-one-out", seeded()).backward(f, 20_000)
        assert (found.gradient - right).square().sum().item() < 16 * found.variance
        RELAX(logits).backward(f, samples=2)


def test_through_the_relaxation_its_own_gradient_is_written():
    logits = theta()
    estimator = RelaxedSort(logits, quadratic, "neural-sort", temperature=0.5, generator=seeded())
    drawn = estimator.draw(3)
    terms = estimator.terms(drawn, black_box(drawn.orders))
    assert terms.shape == (3, D)
    assert torch.isfinite(terms).all()
    assert not torch.allclose(terms.mean(dim=0), exact(logits), rtol=0.05)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.floats(-80, 80), min_size=1, max_size=5), st.integers(2, 5))
def test_estimates_are_finite_and_sum_to_zero(values, samples):
    """All logits together do not matter: the exact gradient's sum is 0, and so is the score function's."""
    logits = torch.tensor(values, dtype=torch.float64, requires_grad=True)
    for baseline in ("none", "leave-one-out"):
        found = ScoreFunction(logits, baseline, seeded()).backward(lambda orders: orders[:, 0], samples)
        assert torch.isfinite(found.gradient).all()
        assert found.gradient.sum().item() == pytest.approx(0, abs=1e-9)


def test_score_gradient_is_one_call():
    logits = theta()
    found = score_gradient(logits, black_box, 5, "leave-one-out", seeded())
    other = ScoreFunction(theta(), "leave-one-out", seeded()).backward(black_box, 5)
    torch.testing.assert_close(found.gradient, other.gradient)
    torch.testing.assert_close(logits.grad, found.gradient)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (lambda t: ScoreFunction(t, "mean"), ValueError, "baseline must be 'none' or 'leave-one-out', got 'mean'"),
        (lambda t: ScoreFunction(t.detach()), ValueError, "logits must be a leaf that requires gradients"),
        (lambda t: ScoreFunction(2 * t), ValueError, "logits must be a leaf"),
        (lambda t: ScoreFunction(torch.ones(2, 3, requires_grad=True)), ValueError, r"\(d,\), got shape \(2, 3\)"),
        (lambda t: ScoreFunction(t).backward(black_box, 0), ValueError, "samples must be an integer of at least 1"),
        (lambda t: ScoreFunction(t).backward(black_box, 1.5), ValueError, "samples must be an integer"),
        (lambda t: ScoreFunction(t, "leave-one-out").backward(black_box), ValueError, "at least 2 with a baseline"),
        (lambda t: ScoreFunction(t).backward(3), TypeError, "f must be a function of orders"),
        (lambda t: ScoreFunction(t).backward(lambda o: "no"), TypeError, "f must give numbers, got str"),
        (lambda t: ScoreFunction(t).backward(lambda o: 1.0, 2), ValueError, r"each of 2 orders, got shape \(\)"),
        (lambda t: ScoreFunction(t).backward(lambda o: [math.nan]), ValueError, "f must give finite numbers, got nan"),
        (lambda t: REBAR(t, None), TypeError, "got NoneType; without it take RELAX"),
        (lambda t: REBAR(t, lambda m: 1.0).backward(black_box), TypeError, "relaxed must give a tensor, got float"),
        (lambda t: REBAR(t, lambda m: m).backward(black_box), ValueError, "relaxed must give a number for each"),
        (lambda t: RELAX(t, quadratic, FreeCritic(t)), ValueError, "relaxed must be None where a critic is given"),
        (lambda t: RELAX(t, critic=abs), TypeError, "critic must be a torch.nn.Module, got builtin_function"),
        (lambda t: RelaxedSort(t, quadratic, "hard"), ValueError, "relaxation must be 'neural-sort'"),
        (lambda t: RelaxedSort(t, quadratic, temperature=0), ValueError, "temperature must be a finite number above 0"),
    ],
)  # fmt: skip
def test_bad_input_is_one_sentence(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(theta())

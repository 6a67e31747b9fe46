"""The relaxed score against scikit-learn's LASSO, its gradient against differences, and what it keeps to."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from steepest.causal import CausalOrder
from steepest.causal import relaxed as relaxed_module
from steepest.causal.knowledge import Knowledge
from steepest.causal.relaxed import RelaxedLasso
from steepest.causal.simulation import linear_gaussian
from steepest.causal.table import checked_table
from steepest.gradients.permutations import neural_sort, permutation_matrix


def make(d=6, rows=300, seed=0, **known):
    table = checked_table(linear_gaussian(d, rows, seed=seed).data, kind="numeric")
    return table, RelaxedLasso(table, 2.0, Knowledge(table.names, **known))


def of_orders(relaxed, *orders):
    return relaxed(permutation_matrix(torch.tensor(orders), torch.float64))


def lasso(table, order):
    """The value of an order by scikit-learn."""
    x, n = table.values, table.rows
    price = 2.0 * np.log(n) / n
    found = len(order) * (0.5 * (np.log(2 * np.pi) + 1) + price)
    for place, child in enumerate(order):
        before, left, cost = order[:place], x[:, child], 0.0
        if before:
            fit = Lasso(np.sqrt(price), fit_intercept=False, tol=1e-12, max_iter=100_000).fit(x[:, before], left)
            left, cost = left - fit.predict(x[:, before]), np.sqrt(price) * np.abs(fit.coef_).sum()
        found += 0.5 * np.log(np.mean(left**2) + 2 * cost)
    return found


def test_an_order_has_the_value_of_the_lasso():
    table, relaxed = make()
    orders = [[int(i) for i in np.random.default_rng(seed).permutation(6)] for seed in range(5)]
    expected = [lasso(table, order) for order in orders]
    np.testing.assert_allclose(of_orders(relaxed, *orders), expected, rtol=1e-7)


@pytest.mark.parametrize(("iterations", "off"), [(5000, 1e-4), (relaxed_module.ITERATIONS, 0.02)])
@pytest.mark.slow
def test_its_gradient_is_that_of_its_values(monkeypatch, iterations, off):
    monkeypatch.setattr(relaxed_module, "ITERATIONS", iterations)
    _, relaxed = make(4)
    scores = torch.tensor([0.3, -0.2, 0.9, 0.1], dtype=torch.float64)

    def value(scores):
        return relaxed(neural_sort(scores, 1.0)[None])[0]

    with_graph = scores.clone().requires_grad_()
    value(with_graph).backward()
    step = 1e-5
    for i in range(4):
        apart = torch.zeros(4, dtype=torch.float64)
        apart[i] = step
        expected = (value(scores + apart) - value(scores - apart)) / (2 * step)
        assert float(with_graph.grad[i]) == pytest.approx(float(expected), rel=off, abs=1e-7)


def test_it_keeps_to_what_is_known():
    table, relaxed = make()
    order = [0, 1, 2, 3, 4, 5]
    free = of_orders(relaxed, order)
    names = table.names
    _, none = make(forbidden=[(i, j) for i in names for j in names if i != j])
    assert of_orders(none, order) > free
    torch.testing.assert_close(of_orders(none, order), of_orders(none, order[::-1]))
    _, bound = make(required=[("x0", "x5")])
    last, first = of_orders(bound, [*order[1:5], 0, 5]), of_orders(bound, [5, *order[1:5], 0])
    assert torch.isfinite(torch.cat([last, first])).all()
    assert of_orders(bound, [5, 0, 1, 2, 3, 4]) != of_orders(relaxed, [5, 0, 1, 2, 3, 4])


def test_rebar_varies_less_than_reinforce():
    data = linear_gaussian(8, 400, seed=1).data
    found = {
        name: CausalOrder(estimator=name, polish=False, steps=60).fit(data).history_[-1]["variance"]
        for name in ("reinforce", "rebar")
    }
    assert found["rebar"] < 0.1 * found["reinforce"]

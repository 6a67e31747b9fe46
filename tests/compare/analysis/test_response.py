"""The fitted response against scikit-learn's Gaussian process, and what it must not depend on."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from steepest.compare.analysis import response
from steepest.compare.analysis.response import fit_response
from steepest.training.definitions.range import Range

LR = {"lr": Range(1e-3, 1.0)}
BOTH = {"lr": Range(1e-3, 1.0), "momentum": Range(0.0, 0.98, log=False)}
POINTS = [{"lr": math.exp(x)} for x in np.linspace(math.log(1e-3), 0.0, 12)]
SCORES = [0.81, 0.86, 0.90, 0.93, 0.94, 0.955, 0.95, 0.962, 0.957, 0.94, 0.6, 0.1]


def draws(count):
    rng = np.random.default_rng(count)
    return [{"lr": float(np.exp(rng.uniform(-6.9, 0))), "momentum": float(rng.uniform(0, 0.98))} for _ in range(count)]


def by_scikit_learn(places, scores):
    """Means and leave-one-out residuals, each fit weighted by its evidence; scores are not censored."""
    y = (scores - scores.mean()) / scores.std()
    means, left, surprise, evidence = [], [], [], []
    for amplitude, noise in itertools.product(response._AMPLITUDES, response._NOISES):
        kernel = ConstantKernel(amplitude) * RBF(1.0) + WhiteKernel(noise)
        fit = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(places, y)
        means.append(fit.predict(places))
        evidence.append(fit.log_marginal_likelihood_value_)
        without, above = [], []
        for i in range(len(y)):
            rest = np.arange(len(y)) != i
            one = GaussianProcessRegressor(kernel, optimizer=None, alpha=0.0).fit(places[rest], y[rest])
            mean, deviation = one.predict(places[[i]], return_std=True)
            without.append(mean[0])
            above.append((y[i] - mean[0]) / deviation[0])  # of a new score, with its noise
        left.append(without)
        surprise.append(above)
    weights = np.exp(np.array(evidence) - max(evidence))
    weights /= weights.sum()
    left_out = weights @ np.array(left)
    explained = 1 - ((y - left_out) ** 2).sum() / (y**2).sum()
    return scores.mean() + scores.std() * (weights @ np.array(means)), weights @ np.array(surprise), explained


@pytest.mark.parametrize("space", [LR, BOTH], ids=["one", "two"])
def test_scikit_learn_finds_the_same(space):
    points = draws(9)
    scores = np.array([0.90 + 0.02 * math.sin(3 * i) for i in range(9)])  # none is far below the best
    places = np.array([[math.log(p["lr"]), 7 * p["momentum"] / 0.98][: len(space)] for p in points])
    fit = fit_response(space, points, scores.tolist())
    means, surprise, explained = by_scikit_learn(places, scores)
    assert np.allclose(fit.means, means, rtol=0, atol=1e-8)
    assert np.allclose(fit.surprise, surprise, rtol=0, atol=1e-6)
    assert fit.explained == pytest.approx(explained, abs=1e-6)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1), min_size=5, max_size=12).filter(lambda scores: max(scores) - min(scores) > 1e-3),
    st.floats(-10, 10),
    st.floats(0.1, 100),
    st.randoms(use_true_random=False),
)
def test_neither_the_order_of_the_points_nor_the_unit_of_the_scores_matters(scores, shift, unit, random):
    points = POINTS[: len(scores)]
    fit = fit_response(LR, points, scores)
    order = random.sample(range(len(scores)), len(scores))
    other = fit_response(LR, [points[i] for i in order], [shift + unit * scores[i] for i in order])
    if fit is None:  # half of them are the best
        assert other is None
        return
    spread = np.ptp(fit.means) + 1e-3
    there = (np.array(other.means) - shift) / unit
    assert np.allclose(there, np.array(fit.means)[order], rtol=0, atol=1e-5 * spread)


@pytest.mark.parametrize("lost", [-math.inf, -1e9, 0.0])
def test_how_bad_a_hopeless_point_is_bends_nothing(lost):
    first = fit_response(LR, POINTS, SCORES)
    assert fit_response(LR, POINTS, [*SCORES[:-1], lost]).means == pytest.approx(first.means)
    assert max(first.means) == first.means[7]


def test_there_is_nothing_to_fit():
    assert fit_response(LR, POINTS[:4], SCORES[:4]) is None
    assert fit_response(LR, POINTS[:6], [*SCORES[:4], -math.inf, -math.inf]) is None
    assert fit_response(LR, POINTS, [0.9] * 12) is None
    assert fit_response(LR, POINTS, [0.9] * 7 + [0.5, 0.4, 0.3, 0.2, 0.1]) is None
    assert fit_response(LR, POINTS[:5], SCORES[:5]) is not None


def test_a_lucky_score_is_judged_by_its_neighbours():
    """Planted: a broad peak, and noise that makes another point the best one more often than not."""
    rng = np.random.default_rng(0)
    places = np.linspace(math.log(1e-3), 0.0, 16)
    truth = 0.95 - 0.004 * (places + 3) ** 2
    fitted, single = [], []
    for _ in range(200):
        scores = truth + 0.01 * rng.normal(size=16)
        fit = fit_response(LR, [{"lr": math.exp(x)} for x in places], scores.tolist())
        fitted.append(truth.max() - truth[int(np.argmax(fit.means))])
        single.append(truth.max() - truth[int(np.argmax(scores))])
    assert np.mean(fitted) < 0.7 * np.mean(single)  # measured: 0.56


def test_a_peak_of_its_own_surprises():
    scores = [0.80, 0.801, 0.799, 0.80, 0.802, 0.95, 0.80, 0.799, 0.801, 0.80, 0.80, 0.799]
    assert fit_response(LR, POINTS, scores).surprise[5] > response.SURPRISE
    assert max(fit_response(LR, POINTS, SCORES).surprise) < response.SURPRISE


def test_of_very_many_points_the_best_take_part(monkeypatch):
    points = [{"lr": math.exp(x)} for x in np.linspace(math.log(1e-3), 0.0, 40)]
    scores = [0.9 - 0.02 * (math.log(p["lr"]) + 3) ** 2 for p in points]
    monkeypatch.setattr(response, "MOST", 20)
    fit = fit_response(LR, points, scores)
    assert len(fit.means) == 40
    assert sum(math.isfinite(z) for z in fit.surprise) == 20
    assert abs(math.log(points[int(np.argmax(fit.means))]["lr"]) + 3) < 0.2


def test_other_searches_choose_where_the_response_is_high():
    """The more noise there is, the wider; of points that may not be chosen none is."""
    points = [{"lr": math.exp(i / 2 - 7)} for i in range(16)]
    truth = np.array([-((i - 9) ** 2) / 40 for i in range(16)])
    rng = np.random.default_rng(0)
    widths = []
    for noise in (0.02, 0.5):
        again = fit_response(LR, points, list(truth + noise * rng.normal(size=16))).again
        assert sum(again) == pytest.approx(100)
        widths.append(sum(share > 1 for share in again))
    assert widths[0] < widths[1]
    few = fit_response(LR, points, list(truth), eligible=[3, 4, 5]).again
    assert sum(few[3:6]) == pytest.approx(100)
    assert max(few) == few[5]


def test_a_mean_over_several_runs_counts_more():
    points = [{"lr": math.exp(i / 2 - 7)} for i in range(9)]
    scores = [0.5, 0.55, 0.6, 0.62, 0.75, 0.62, 0.6, 0.55, 0.5]
    one, many = (fit_response(LR, points, scores, [1.0] * 4 + [n] + [1.0] * 4).means[4] for n in (1.0, 0.1))
    assert many > one

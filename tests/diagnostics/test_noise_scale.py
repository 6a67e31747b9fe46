"""The noise scale: against its formulas, and its interval against a known truth over a thousand data sets."""

import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from steepest.diagnostics import gradient_noise_scale, noise_scale
from steepest.diagnostics.intervals import student_quantile
from tests.diagnostics.problems import dense_gradients, mlp, samples


class Linear(nn.Module):
    """Its output is w'x, so that a sample's gradient of the mean output is the sample itself."""

    def __init__(self, size, dtype=torch.float64):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(size, dtype=dtype))

    def forward(self, x):
        return x @ self.w


def mean(outputs, targets):
    return outputs.mean()


def draw(seed, n, signal, spread):
    """Samples with mean ``signal`` and independent entries of standard deviations ``spread``."""
    generator = torch.Generator().manual_seed(seed)
    return signal + spread * torch.randn(n, len(signal), generator=generator, dtype=torch.float64)


def measure(rows, sizes=None, **kwargs):
    data = [(part, torch.zeros(len(part))) for part in rows.split(sizes or len(rows))]
    return gradient_noise_scale(Linear(rows.shape[1], rows.dtype), mean, data, **kwargs)


def estimates(rows):
    """For each of many data sets, (runs, n, d), what the function makes of 64 pieces in 32 groups, without a model."""
    size = rows.shape[1] // 64
    for run in rows.unflatten(1, (64, size)).mean(dim=2):
        first, second = run[:32], run[32:]
        sums, squares = size * (first + second), size * (first.square() + second.square()).sum(dim=1)
        table = torch.stack([torch.full_like(squares, 2.0 * size), torch.full_like(squares, 2.0), squares], dim=1)
        yield noise_scale._estimate(sums @ sums.T, table)


def measure_fast(rows):
    quantile = student_quantile(31)
    return [(one.trace / one.signal, *noise_scale._divide(one, quantile)) for one in estimates(rows)]


CASES = {
    # dimension, |G|, noise scale, samples, largest variance over the smallest
    "strong signal": (20, 1.0, 5.0, 256, 1.0),
    "weak signal": (20, 1.0, 20.0, 512, 1.0),
    "one dimension": (1, 1.0, 4.0, 512, 1.0),
    "three unlike dimensions": (3, 1.0, 10.0, 512, 100.0),
    "hundreds of dimensions": (300, 1e-3, 30.0, 512, 10.0),
    "huge numbers": (10, 1e6, 3.0, 128, 1.0),
    "few samples": (50, 1.0, 2.0, 64, 1.0),
}


def draw_case(case, runs, seed):
    dimension, length, scale, n, unlike = CASES[case]
    generator = torch.Generator().manual_seed(seed)
    variances = torch.logspace(0, math.log10(unlike), dimension, dtype=torch.float64)
    spread = (variances * scale * length**2 / variances.sum()).sqrt()
    for _ in range(runs // 50):
        rows = torch.randn(50, n, dimension, generator=generator, dtype=torch.float64)
        yield length / math.sqrt(dimension) + spread * rows


FAST = ("strong signal", "one dimension")


@pytest.mark.parametrize("case", [c if c in FAST else pytest.param(c, marks=pytest.mark.slow) for c in CASES])
def test_the_interval_holds_the_truth_in_95_of_100_data_sets(case):
    found = [one for rows in draw_case(case, 1000, seed=0) for one in measure_fast(rows)]
    assert len(found) == 1000
    scale = CASES[case][2]
    assert 930 <= sum(low <= scale <= high for _, low, high in found) <= 970
    assert sum(math.isfinite(high) for _, _, high in found) >= 950
    assert all(0 <= low <= value <= high for value, low, high in found if math.isfinite(high))
    assert all(low >= 0 for _, low, _ in found)


@pytest.mark.parametrize("case", CASES)
def test_what_was_drawn_a_thousand_times_is_what_the_function_finds(case):
    rows = next(draw_case(case, 50, seed=0))[:2]
    for one, fast in zip(rows, measure_fast(rows), strict=True):
        found = measure(one)
        value, low, high = fast
        assert math.isclose(found.low, low, rel_tol=1e-8)
        assert math.isclose(found.high, high, rel_tol=1e-8)
        assert math.isclose(found.value, value, rel_tol=1e-8)


def test_estimates_are_those_of_the_formulas():
    inputs, targets = samples(24)
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = gradient_noise_scale(model, loss_fn, [(inputs, targets)], groups=24)
    rows = dense_gradients(model, loss_fn, inputs, targets)
    trace = rows.var(dim=0).sum()
    signal = rows.mean(dim=0).square().sum() - trace / 24
    assert math.isclose(found.trace, float(trace), rel_tol=1e-10)
    assert math.isclose(found.signal, float(signal), rel_tol=1e-10)
    assert math.isclose(found.value, float(trace / signal), rel_tol=1e-10) or math.isinf(found.high)
    assert (found.samples, found.passes) == (24, 1)
    assert found.seconds > 0


def test_the_trace_is_without_bias_in_uneven_batches():
    signal, spread = torch.tensor([0.5, 0.0], dtype=torch.float64), torch.tensor([1.0, 2.0], dtype=torch.float64)
    found = torch.tensor([measure(draw(i, 41, signal, spread), [1, 17, 2, 1, 20]).trace for i in range(60)])
    assert abs(found.mean() - 5) < 4 * found.std() / math.sqrt(60)
    assert found.std() > 0.3


def test_no_signal_gives_no_value_and_no_upper_bound():
    CASES["none"] = (10, 1.0, 1.0, 256, 1.0)
    try:
        noise = [rows - rows.mean(dim=(0, 1)) for rows in draw_case("none", 200, seed=0)]
    finally:
        del CASES["none"]
    assert sum(math.isinf(high) for rows in noise for _, _, high in measure_fast(rows)) >= 190
    signals = []
    for rows in noise[0][:12]:
        found = measure(rows, 32)
        assert math.isfinite(found.low)
        assert found.low >= 0
        signals.append(found.signal)
        if math.isinf(found.high):
            assert math.isnan(found.value)
            assert found.note == "the signal is too weak for so few samples: there is no upper bound"
    assert 0 in signals
    assert max(signals) > 0


def test_standard_errors_are_those_over_many_data_sets():
    found = [one for rows in draw_case("strong signal", 500, seed=0) for one in estimates(rows)]
    signal, signal_variance, trace, trace_variance, covariance = torch.tensor(found, dtype=torch.float64).T
    assert abs(signal.mean() - 1) < 4 * signal.std() / math.sqrt(500)
    assert abs(trace.mean() - 5) < 4 * trace.std() / math.sqrt(500)
    assert 0.85 < signal_variance.mean() / signal.var() < 1.15
    assert 0.85 < trace_variance.mean() / trace.var() < 1.15
    assert abs(covariance.mean()) < 0.1 * (signal.std() * trace.std())  # of normal numbers they are independent


def test_a_bounded_interval_has_no_note():
    found = measure(draw(0, 256, torch.ones(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)))
    assert found.note == ""
    assert found.low < found.value < found.high


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("length", [1.0, 1e-6, 1e6, 0.1])
def test_samples_without_noise_have_the_scale_zero(dtype, length):
    found = measure(torch.full((100, 7), length, dtype=dtype), 9)
    assert 0 <= found.low <= found.value <= found.high < 1e-3
    assert found.trace >= 0
    assert math.isclose(found.signal, 7 * length**2, rel_tol=1e-4)


def test_gradients_that_are_all_zero_have_no_scale():
    found = measure(torch.zeros(100, 3))
    assert math.isnan(found.value)
    assert (found.low, found.high, found.signal, found.trace) == (0, math.inf, 0, 0)
    assert found.note


@pytest.mark.parametrize("factor", [1e-3, 7.0, 1e4])
def test_the_scale_of_the_loss_does_not_matter(factor):
    rows = draw(3, 256, torch.full((5,), 0.4, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    one, other = measure(rows, 32), measure(factor * rows, 32)
    for name in ("value", "low", "high"):
        assert math.isclose(getattr(one, name), getattr(other, name), rel_tol=1e-9)
    assert math.isclose(other.signal, factor**2 * one.signal, rel_tol=1e-9)
    assert math.isclose(other.trace_error, factor**2 * one.trace_error, rel_tol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3])
def test_fewer_than_four_samples_are_refused(n, size):
    rows = draw(0, n, torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))
    with pytest.raises(ValueError, match=f"data must give at least 4 samples, got {n}"):
        measure(rows, size)


@pytest.mark.parametrize("sizes", [[1] * 4, [4], [1, 3], [2, 2, 1]])
def test_four_samples_are_enough(sizes):
    rows = draw(0, sum(sizes), torch.ones(2, dtype=torch.float64), 0.1 * torch.ones(2, dtype=torch.float64))
    found = measure(rows, sizes)
    assert found.samples == sum(sizes)
    assert math.isclose(found.trace, float(rows.var(dim=0).sum()), rel_tol=1e-9)


def test_fewer_groups_are_less_sharp_but_right():
    rows = draw(0, 512, torch.full((5,), 0.4, dtype=torch.float64), torch.ones(5, dtype=torch.float64))
    many, few = measure(rows), measure(rows, groups=4)
    assert math.isclose(few.trace, many.trace, rel_tol=1e-12)
    assert few.low < many.value < few.high
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(noise_scale, "NUMBERS", 20)  # room for four groups of five numbers
        assert measure(rows)[:8] == few[:8]


def test_data_that_do_not_know_their_length():
    class Stream(IterableDataset):
        def __iter__(self):
            return iter(zip(*samples(64), strict=True))

    loader = DataLoader(Stream(), batch_size=16)
    with pytest.raises(TypeError):
        len(loader)
    found = gradient_noise_scale(mlp(), nn.CrossEntropyLoss(), loader)
    expected = gradient_noise_scale(
        mlp(), nn.CrossEntropyLoss(), DataLoader(TensorDataset(*samples(64)), batch_size=16)
    )
    assert found.samples == 64
    assert math.isclose(found.trace, expected.trace, rel_tol=0.5)

    class Batch:
        def __iter__(self):
            return iter([samples(64)])

    assert gradient_noise_scale(mlp(), nn.CrossEntropyLoss(), Batch()).samples == 64


def test_a_filter_takes_its_part_of_the_gradient():
    inputs, targets = samples(16)
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = gradient_noise_scale(model, loss_fn, [(inputs, targets)], params="2.*")
    rows = dense_gradients(model, loss_fn, inputs, targets, {"2.weight", "2.bias"})
    assert math.isclose(found.trace, float(rows.var(dim=0).sum()), rel_tol=1e-10)


def test_empty_batches_do_not_count():
    rows = draw(0, 64, torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64))
    with_empty = gradient_noise_scale(
        Linear(2), mean, [(p, torch.zeros(len(p))) for p in rows.split([0, 32, 0, 0, 32, 0])]
    )
    assert with_empty.samples == 64


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"groups": 3}, ValueError, "groups must be at least 4, got 3"),
        ({"groups": 8.0}, TypeError, "groups must be an int, got 8.0"),
        ({"params": "nothing"}, ValueError, "params must choose a trainable parameter of the model, .* got 'nothing'"),
    ],
)
def test_bad_arguments_are_refused(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        gradient_noise_scale(mlp(), nn.CrossEntropyLoss(), [samples()], **wrong)


def test_a_gradient_that_is_not_finite_is_refused():
    def loss_fn(outputs, targets):
        return (outputs - outputs.detach()).abs().sqrt().mean()  # 0, with an infinite slope

    with pytest.raises(RuntimeError, match="the loss is finite but its gradient is not"):
        gradient_noise_scale(mlp(), loss_fn, [samples()])


def test_batch_norm_without_running_statistics_is_refused():
    with pytest.raises(ValueError, match="got 1, a BatchNorm1d that normalises by the batch"):
        gradient_noise_scale(
            mlp(nn.BatchNorm1d(6, track_running_stats=False).double()), nn.CrossEntropyLoss(), [samples()]
        )

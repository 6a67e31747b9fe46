"""A traced function gives the same, or is not traced."""

import itertools

import torch
from torch import nn

from steepest.diagnostics.diffusion import DiffusionMetric
from steepest.diagnostics.diffusion.losses import OFTEN
from steepest.diagnostics.diffusion.tracing import traced
from tests.diagnostics.diffusion.problems import labelled, network, numbers
from tests.diagnostics.diffusion.test_metric import Branch, apart, close, sample_gradients


def test_a_function_of_tensors_is_traced():
    calls = []

    def function(x, y):
        calls.append(1)
        return x * y, x.sum()

    fast = traced(function, numbers(3), numbers(3))
    done = len(calls)
    x, y = numbers(3, seed=1), numbers(3, seed=2)
    assert torch.equal(fast(x, y)[0], x * y)
    assert torch.equal(fast(x, x)[0], x * x)
    assert len(calls) == done


def test_one_tensor_given_twice_is_two_arguments():
    x = numbers(3)
    fast = traced(lambda x, y: (x - 2 * y,), x, x)
    assert torch.equal(fast(x, numbers(3, seed=1))[0], x - 2 * numbers(3, seed=1))


def test_what_is_no_function_of_its_arguments_is_not_traced():
    count = itertools.count()
    assert traced(lambda x: (x * next(count),), numbers(3)) is None
    assert traced(lambda x: (x if x.sum() > 0 else -x,), numbers(3)) is None
    assert traced(lambda x: (x * float(x[0]),), numbers(3)) is None

    def failing(x):
        raise KeyError("from the model")

    assert traced(failing, numbers(3)) is None


def test_what_is_called_often_gives_the_same():
    metric = DiffusionMetric(network(), nn.CrossEntropyLoss(), [labelled()], 0.5)
    points = [metric.point() + 0.1 * numbers(len(metric.weights), seed=i) for i in range(OFTEN + 3)]
    v = numbers(len(metric.weights))
    before = [(metric.covariance(x), *metric.sample_losses.along(x, v)) for x in points[:2]]
    for x in points:
        metric.covariance(x)
        metric.sample_losses.along(x, v)
    after = [(metric.covariance(x), *metric.sample_losses.along(x, v)) for x in points[:2]]
    for one, other in zip(before, after, strict=True):
        for a, b in zip(one, other, strict=True):
            close(a, b)


def test_a_model_that_looks_at_its_weights_is_right_on_both_ways_however_often_it_is_called():
    model, data = Branch().double(), [(numbers(5, 3), numbers(5))]
    metric = DiffusionMetric(model, apart, data, 0.1)
    far = metric.point() - 2
    for _ in range(OFTEN + 1):
        close(metric.sample_gradients(), sample_gradients(model, apart, *data[0]))
    moved = Branch().double()
    moved.w.data.copy_(far)
    close(metric.sample_gradients(far), sample_gradients(moved, apart, *data[0]))

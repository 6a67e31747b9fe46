"""Gradient evaluations are counted in whatever way they are taken."""

import types

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap

from steepest.training.loop.evaluations import Evaluations


class Plain:
    """What a model may return: an object with attributes, one of them itself."""

    def __init__(self, logits):
        self.logits, self.me = logits, self


@pytest.mark.parametrize(
    ("wrap", "take"),
    [
        (Plain, lambda out: out.logits),
        (lambda logits: types.SimpleNamespace(y=logits), lambda out: out.y),
        (lambda logits: torch.distributions.Categorical(logits=logits), lambda out: out.logits),
        (lambda logits: {"a": [(1, logits)]}, lambda out: out["a"][0][1]),
    ],
    ids=["object", "namespace", "distribution", "nested"],
)
def test_whatever_a_model_returns_its_evaluations_are_counted(wrap, take):
    class Wrapping(nn.Linear):
        def forward(self, inputs):
            return wrap(super().forward(inputs))

    model = Wrapping(3, 2)
    counted = Evaluations(model, dimensions=2)
    take(model(torch.randn(5, 3))).sum().backward()
    assert counted.samples == 5


MODEL = nn.Linear(3, 1)
WEIGHTS = dict(MODEL.named_parameters())


def loss(weights, inputs):
    return functional_call(MODEL, weights, (inputs,)).sum()


@pytest.mark.parametrize(
    ("take", "samples"),
    [
        (lambda x: torch.autograd.grad(loss(WEIGHTS, x), MODEL.weight), 5),
        (lambda x: [torch.autograd.grad(y, MODEL.weight, retain_graph=True) for y in [loss(WEIGHTS, x)] * 3], 15),
        (lambda x: grad(loss)(WEIGHTS, x), 5),
        (lambda x: vmap(grad(loss), in_dims=(None, 0))(WEIGHTS, x), 5),
        (lambda x: vmap(grad(lambda w, row: loss(w, row[None])), in_dims=(None, 0))(WEIGHTS, x), 5),
        (lambda x: vmap(grad(loss), in_dims=(0, None))({k: torch.stack([w, w]) for k, w in WEIGHTS.items()}, x), 10),
        (lambda x: loss(WEIGHTS, x[0]).backward(), 1),
    ],
    ids=["grad", "three of one graph", "func.grad", "by sample", "by sample in a batch", "two models", "one sample"],
)  # fmt: skip
def test_however_a_gradient_is_taken_its_samples_are_counted(take, samples):
    model_hooks = dict(MODEL._forward_hooks)
    counted = Evaluations(MODEL, dimensions=2)
    try:
        take(torch.randn(5, 3))
    finally:
        MODEL._forward_hooks.clear()
        MODEL._forward_hooks.update(model_hooks)
    assert counted.samples == samples

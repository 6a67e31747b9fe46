"""Models, data and dense matrices that the tests of instruments share; what a model's state is."""

import copy

import torch
from torch import nn
from torch.func import functional_call, hessian, jacrev

ONE_BATCH = [(torch.zeros(3, 1), torch.zeros(3))]


class Quadratic(nn.Module):
    """Its output is w'Aw/2 for every sample, so that A is the Hessian of the mean."""

    def __init__(self, matrix):
        super().__init__()
        self.register_buffer("matrix", matrix)
        self.w = nn.Parameter(torch.linspace(-1, 1, len(matrix), dtype=matrix.dtype))

    def forward(self, x):
        return (0.5 * self.w @ self.matrix @ self.w).expand(len(x))


def mean(outputs, targets):
    return outputs.mean()


def symmetric(spectrum, seed=0):
    generator = torch.Generator().manual_seed(seed)
    n = len(spectrum)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    matrix = q @ torch.diag(torch.tensor(spectrum, dtype=torch.float64)) @ q.T
    return (matrix + matrix.T) / 2


def mlp(*middle):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 6), *middle, nn.Tanh(), nn.Linear(6, 3)).double()


def samples(n=20, dtype=torch.float64):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(n, 5, generator=generator, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(0, 3, (n,), generator=generator)


def chosen(model, names=None):
    """The trainable parameters, or some of them, by name and detached."""
    return {n: p.detach() for n, p in model.named_parameters() if p.requires_grad and (names is None or n in names)}


def dense_function(model, loss_fn, inputs, targets, names=None, part="loss"):
    """Loss, or outputs, as a function of one flat vector of weights, and that vector; in evaluation mode."""
    model = copy.deepcopy(model).eval()
    params = chosen(model, names)

    def function(flat):
        pieces = torch.split(flat, [p.numel() for p in params.values()])
        shaped = {name: piece.view_as(p) for (name, p), piece in zip(params.items(), pieces, strict=True)}
        outputs = functional_call(model, shaped, (inputs,))
        return loss_fn(outputs, targets) if part == "loss" else outputs

    return function, torch.cat([p.reshape(-1) for p in params.values()])


def dense_hessian(model, loss_fn, inputs, targets, names=None):
    function, flat = dense_function(model, loss_fn, inputs, targets, names)
    return hessian(function)(flat)


def dense_eigenvalues(model, loss_fn, inputs, targets):
    """Of the whole Hessian by the trainable parameters, in evaluation mode."""
    return torch.linalg.eigvalsh(dense_hessian(model, loss_fn, inputs, targets))


def dense_gradients(model, loss_fn, inputs, targets, names=None):
    """A row for each sample, by a loop."""
    model = copy.deepcopy(model).eval()
    params = [p for n, p in model.named_parameters() if n in chosen(model, names)]
    rows = []
    for i in range(len(inputs)):
        loss = loss_fn(model(inputs[i : i + 1]), targets[i : i + 1])
        found = torch.autograd.grad(loss, params, allow_unused=True, materialize_grads=True)
        rows.append(torch.cat([g.reshape(-1) for g in found]))
    return torch.stack(rows)


def dense_fisher(model, loss_fn, inputs, targets, names=None):
    rows = dense_gradients(model, loss_fn, inputs, targets, names)
    return rows.T @ rows / len(rows)


def dense_ggn(model, loss_fn, inputs, targets, names=None):
    """J'HJ with all outputs of the batch in one vector."""
    function, flat = dense_function(model, loss_fn, inputs, targets, names, "outputs")
    outputs = function(flat)
    jacobian = jacrev(function)(flat).reshape(outputs.numel(), -1)
    curvature = hessian(lambda o: loss_fn(o.view_as(outputs), targets))(outputs.detach().reshape(-1))
    return jacobian.T @ curvature @ jacobian


DENSE = {"hessian": dense_hessian, "ggn": dense_ggn, "fisher": dense_fisher}


class Counted(list):
    """A list that knows how often it was iterated."""

    passes = 0

    def __iter__(self):
        self.passes += 1
        return super().__iter__()


class Restless(nn.Module):
    """Counts its calls in one buffer, replaces another, drops out always, and minds being told its mode."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))
        self.register_buffer("last", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        self.last = x.detach().mean().reshape(1)
        return nn.functional.dropout(x, 0.3, training=True)

    def train(self, mode=True):
        raise AssertionError("train() was called")


def state_of(model):
    return {
        "modes": [m.training for m in model.modules()],
        "tensors": [(id(t), t._version, t.detach().clone()) for t in (*model.parameters(), *model.buffers())],
        "grads": [None if p.grad is None else (id(p.grad), p.grad.clone()) for p in model.parameters()],
        "random": torch.get_rng_state(),
    }


def same(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return {k: same(a[k], b[k]) for k in a} == dict.fromkeys(a, True) if isinstance(a, dict) else a == b

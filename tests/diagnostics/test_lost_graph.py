"""Parts of the graph that were lost without an error: refused; what only looks like it is measured as before."""

import math

import pytest
import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from steepest.diagnostics import largest_hessian_eigenvalue


def function(forward, backward, *, once=False):
    """A custom function of one tensor."""

    class Custom(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return forward(x)

    def of(ctx, grad):
        return backward(ctx.saved_tensors[0], grad)

    Custom.backward = staticmethod(once_differentiable(of) if once else of)
    return Custom.apply


class Net(nn.Module):
    """Two layers with something between them."""

    def __init__(self, between=torch.tanh, weights=lambda w: w):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 8), nn.Linear(8, 2)
        self.between, self.weights = between, weights

    def forward(self, x):
        hidden = F.linear(x, self.weights(self.first.weight), self.first.bias)
        return self.last(self.between(hidden))


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(20, 4, generator=generator), torch.randint(0, 2, (20,), generator=generator)


def sharpness(model, loss_fn=F.cross_entropy):
    inputs, targets = batch()
    return largest_hessian_eigenvalue(model, loss_fn, [(inputs.to(next(model.parameters())), targets)])


@torch.no_grad()
def gate(x):
    return x.sigmoid()


def gate_of_detached(x):
    return x.detach().sigmoid()


def rounded(x):
    return (8 * x).round() / 8


square_detached = function(torch.square, lambda x, g: 2 * x.detach() * g.detach())
SECOND = "the second derivative is not there"
FIRST = "the gradient is not the derivative of the loss"
LOST = {
    "once differentiable identity": (
        Net(function(torch.clone, lambda x, g: g.clone(), once=True)),
        "once_differentiab",
    ),
    "once differentiable square": (Net(function(torch.square, lambda x, g: 2 * x * g, once=True)), "once_differentiab"),
    "backward detaches all": (Net(square_detached), SECOND),
    "backward detaches the gradient": (Net(function(torch.square, lambda x, g: 2 * x * g.detach())), SECOND),
    "backward detaches the input": (Net(function(torch.square, lambda x, g: 2 * x.detach() * g)), SECOND),
    "backward uses .data": (Net(function(torch.exp, lambda x, g: x.data.exp() * g)), SECOND),
    "backward without gradients": (
        Net(function(torch.square, lambda x, g: 2 * torch.tensor(x.tolist(), dtype=x.dtype) * g)),
        SECOND,
    ),
    "on the weights": (Net(weights=square_detached), SECOND),
    "wrong backward": (Net(function(torch.square, lambda x, g: 3 * x * g)), FIRST),
    "detach in the forward pass": (Net(lambda x: torch.tanh(x) * x.detach()), FIRST),
    ".data in the forward pass": (Net(lambda x: torch.tanh(x) * x.data), FIRST),
    "no_grad island": (Net(lambda x: torch.tanh(x) * gate(x)), FIRST),
    "item": (Net(lambda x: torch.tanh(x) * x.square().mean().item()), FIRST),
    "detached weights": (Net(weights=lambda w: w.detach()), FIRST),
    "normalised by a detached norm": (Net(weights=lambda w: w / w.norm().detach()), FIRST),
    "straight-through weights": (Net(weights=lambda w: w + (rounded(w) - w).detach()), FIRST),
    "straight-through activations": (Net(lambda x: x.tanh() + (rounded(x.tanh()) - x.tanh()).detach()), FIRST),
    "straight-through function": (Net(function(rounded, lambda x, g: g)), FIRST),
}


@pytest.mark.parametrize("name", LOST)
def test_a_lost_part_of_the_graph_is_refused(name):
    model, sentence = LOST[name]
    with pytest.raises(RuntimeError, match=sentence) as refusal:
        sharpness(model)
    assert type(refusal.value) is RuntimeError
    assert all(p.dtype == torch.float32 and p.grad is None for p in model.parameters())


def test_a_linear_head_with_a_lost_nonlinearity_before_it_is_refused():
    """The gradient that arrives is constant: torch makes no error node at all."""
    square = function(torch.square, lambda x, g: 2 * x * g, once=True)
    with pytest.raises(RuntimeError, match=SECOND):
        largest_hessian_eigenvalue(nn.Linear(4, 1), lambda o, t: square(o).mean(), [batch()])


def test_a_loss_with_a_detached_target_is_refused():
    with pytest.raises(RuntimeError, match=FIRST):
        sharpness(Net(), lambda o, t: (o - o.detach().softmax(1)).square().mean())


class Cast(nn.Module):
    """As normalisation layers that compute in single precision, and constants of it."""

    def __init__(self):
        super().__init__()
        self.scale = torch.full((8,), 1.5)  # no buffer

    def forward(self, x):
        wide = x.to(torch.float32)
        total = torch.zeros(8)
        total = total + wide.detach().mean(0) * 0
        return (wide / (1 + wide.float().square().mean(-1, keepdim=True)).sqrt() + total).to(x.dtype) * self.scale


class Unused(Net):
    """A layer that the loss does not use."""

    def __init__(self):
        super().__init__()
        self.unused = nn.Linear(3, 3)


class Random(nn.Module):
    def forward(self, x):
        return nn.functional.dropout(x, 0.3, training=True)


class Checkpointed(nn.Module):
    """In the backward pass it is computed anew, with the layer's weights."""

    def __init__(self, between=torch.tanh):
        super().__init__()
        self.layer, self.between = nn.Linear(8, 8), between

    def forward(self, x):
        return checkpoint(lambda z: self.between(self.layer(z)), x, use_reentrant=False)


custom_relu = function(torch.relu, lambda x, g: g * (x > 0))
HEALTHY = {
    "relu with its own backward": (Net(custom_relu), Net(torch.relu)),
    "square with its own backward": (Net(function(torch.square, lambda x, g: 2 * x * g)), Net(torch.square)),
    "hard tanh and max": (Net(lambda x: F.hardtanh(x).cummax(1).values), None),
    "rounding": (Net(lambda x: x.tanh() + rounded(x)), None),  # its derivative is 0 almost everywhere
    "integers": (Net(lambda x: x.tanh() + (4 * x).int().float()), None),
    "casts": (Net(Cast()), None),
    "dropout that stays on": (Net(Random()), Net(Random())),
    "unused parameters": (Unused(), Net()),
    "checkpoint": (Net(lambda x: checkpoint(torch.tanh, x, use_reentrant=False)), Net()),
    "checkpoint of a layer": (Net(Checkpointed()), None),
    "the same in float64": (Net(Checkpointed()).double(), None),
    "attention": (Net(lambda x: F.scaled_dot_product_attention(x, x, x)), None),
    "statistics that are detached": (Net(nn.BatchNorm1d(8)), None),
    "half precision inside": (Net(lambda x: x.tanh().bfloat16().float()), None),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_what_is_whole_is_measured_as_before(name):
    model, plain = HEALTHY[name]
    before = [p.clone() for p in model.parameters()]
    found = sharpness(model)
    assert found.value > 0
    if plain is not None:
        expected = sharpness(plain)
        assert abs(found.value - expected.value) <= 1e-5 * expected.value
    assert all(torch.equal(p, old) and p.grad is None for p, old in zip(model.parameters(), before, strict=True))


def test_a_wide_relu_network_is_not_refused():
    """Thousands of kinks: any step that float32 could take crosses some of them."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 4))
    inputs, targets = torch.randn(512, 16), torch.randn(512, 4)
    plain = largest_hessian_eigenvalue(net, F.mse_loss, [(inputs, targets)], iterations=2)
    suspect = lambda o, t: F.mse_loss(o, t) + 0 * o.detach().sum()  # noqa: E731
    assert largest_hessian_eigenvalue(net, suspect, [(inputs, targets)], iterations=2) == plain


def test_a_loss_that_is_linear_in_what_a_custom_function_returns_has_the_value_zero():
    double = function(lambda x: 2 * x, lambda x, g: 2 * g)
    found = largest_hessian_eigenvalue(nn.Linear(4, 1), lambda o, t: double(o).mean(), [batch()])
    assert found.value == 0
    assert found.converged


class Hooked(Net):
    """A hook in the forward pass changes what autograd returns."""

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        if hidden.requires_grad:
            hidden.register_hook(lambda g: 3 * g)
        return self.last(hidden)


class Differentiating(Net):
    """A derivative in the forward pass, without ``create_graph``."""

    def forward(self, x):
        hidden = torch.tanh(self.first(x))
        (slope,) = torch.autograd.grad(hidden.square().sum(), hidden, retain_graph=True)
        return self.last(hidden + slope)


class Buffered(Net):
    """Weights that are written into a buffer's ``.data``."""

    def __init__(self):
        super().__init__()
        self.register_buffer("held", torch.zeros(2, 8))

    def forward(self, x):
        self.held.data.copy_(self.last.weight)
        return F.linear(torch.tanh(self.first(x)), self.held) + self.last(x[:, :1].expand(-1, 8))


scripted = torch.jit.script(gate_of_detached)
UNLISTED = {
    "float()": Net(lambda x: x.tanh() * float(x.norm())),
    "math.sqrt()": Net(lambda x: x.tanh() * math.sqrt(x.square().mean())),
    "nn.Parameter()": Net(weights=lambda w: nn.Parameter(w) + 0 * w),
    "an operator without its function": Net(lambda x: x.tanh() * torch.ops.aten.detach.default(x)),
    "a scripted function": Net(lambda x: x.tanh() * scripted(x)),
    "fake quantization": Net(weights=lambda w: torch.fake_quantize_per_tensor_affine(w, 0.01, 0, -128, 127)),
    "inside a checkpoint": Net(Checkpointed(lambda x: x * x.detach())),
    "a hook": Hooked(),
    "autograd.grad": Differentiating(),
    "a buffer's .data": Buffered(),
}


@pytest.mark.parametrize("name", UNLISTED)
def test_what_no_list_of_calls_names_is_found_too(name):
    with pytest.raises(RuntimeError, match=FIRST):
        sharpness(UNLISTED[name])


def test_a_cut_in_the_last_and_smaller_batch_alone_is_refused():
    model = Net(lambda x: x.tanh() if len(x) == 20 else x.tanh() * x.detach())
    inputs, targets = batch()
    with pytest.raises(RuntimeError, match=FIRST):
        largest_hessian_eigenvalue(model, F.cross_entropy, [(inputs, targets), (inputs[:7], targets[:7])])


def test_a_hook_on_a_parameter_does_not_count_and_stays():
    model, seen = Net(), []
    model.first.weight.register_hook(lambda g: seen.append(1) or 3 * g)
    assert sharpness(model) == sharpness(Net())
    assert not seen
    sum(p.sum() for p in model.parameters()).backward()
    assert seen
    assert torch.equal(model.first.weight.grad, torch.full((8, 4), 3.0))


def test_torchscript_is_refused():
    with pytest.raises(TypeError, match="must not be of TorchScript"):
        sharpness(nn.Sequential(torch.jit.script(nn.Linear(4, 4)), nn.Linear(4, 2)))


def test_the_check_costs_a_few_gradients_of_the_first_and_the_last_batch():
    calls = []

    def loss_fn(outputs, targets):
        calls.append(outputs.dtype)
        return F.cross_entropy(outputs, targets)

    found = largest_hessian_eigenvalue(Net(), loss_fn, [batch()] * 3)
    assert calls.count(torch.float32) == 3 * (found.iterations + 1)
    assert calls.count(torch.float64) == 2 * 3

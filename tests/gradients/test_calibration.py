"""Calibrated gradients against their formulas, at the step of any optimizer and as a layer."""

import copy
import gc
import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import optimizer as torch_optimizer

from steepest import SNGM, SSGD, BlockNormalizedSGD, GradientCalibration, calibrate
from steepest.gradients.calibrators import kept, ternary

RANDOM = {
    "bernoulli": {"keep": 0.7},
    "bernoulli-filter": {"keep": 0.7, "per": "filter"},
    "lipschitz": {},
}
DRAWS = 4000


def of(name: str) -> dict:
    return {"calibrator": name.partition("-")[0], **RANDOM.get(name, {})}


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    layers = (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 4 * 4, 3))
    return nn.Sequential(*layers).to(dtype)


def batch(seed: int = 0, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(8, 2, 6, 6, generator=generator, dtype=torch.float64).to(dtype)
    return inputs, torch.randint(0, 3, (8,), generator=generator)


def train(model, optimizer, steps=range(5)) -> list[torch.Tensor]:
    for seed in steps:
        optimizer.zero_grad()
        x, y = batch(seed, next(model.parameters()).dtype)
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def one_step(weight: torch.Tensor, grad: torch.Tensor, handle_options: dict, steps: int) -> torch.Tensor:
    """The calibrated gradients of so many steps, stacked."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False).to(weight.dtype)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    handle = calibrate(layer, **handle_options)
    seen = []
    for _ in range(steps):
        layer.weight.grad = grad.clone()
        optimizer.step()
        seen.append(layer.weight.grad)
    handle.remove()
    return torch.stack(seen)


# ---- the formulas


def formula(name: str, grad: torch.Tensor) -> torch.Tensor:
    """The variance of a calibrated gradient."""
    return grad.abs().max() * grad.abs() - grad**2 if name == "lipschitz" else grad**2 * 0.3 / 0.7


@pytest.mark.parametrize("name", RANDOM)
@pytest.mark.slow
def test_mean_and_variance_follow_the_formula(name):
    grad = torch.randn(6, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    seen = one_step(grad, grad, of(name), DRAWS)
    variance = formula(name, grad)
    spread = (variance / DRAWS).sqrt()
    assert ((seen.mean(0) - grad).abs() <= 4 * spread + 1e-12).all()
    # The standard error of a variance is sqrt((fourth central moment - variance^2) / n).
    fourth = ((seen - grad) ** 4).mean(0)
    error = ((fourth - variance**2).clamp_min(0) / DRAWS).sqrt()
    assert (((seen - grad) ** 2).mean(0) - variance).abs().le(4 * error + 1e-12).all()


def test_elements_and_filters_are_drawn_apart():
    grad = torch.ones(16, 64)
    by_element = one_step(grad, grad, {"keep": 0.5}, 1)[0]
    by_filter = one_step(grad, grad, {"keep": 0.5, "per": "filter"}, 1)[0]
    assert (by_element.std(dim=1) > 0).all()
    assert (by_filter.std(dim=1) == 0).all()
    assert by_filter[:, 0].unique().tolist() == [0.0, 2.0]


def test_steps_are_independent():
    grad = torch.ones(4, 50)
    seen = one_step(grad, grad, {"keep": 0.5}, 400).flatten(1) - 1
    correlation = (seen[1:] * seen[:-1]).mean()
    assert abs(correlation) < 4 / (399 * 200) ** 0.5


def test_linear_dynamics_follow_the_noise_free_recursion_in_the_mean():
    """Quadratic loss: the mean of the weights is the weights of the bare optimizer."""
    curvature = torch.tensor([[0.5, 1.0], [2.0, 4.0]], dtype=torch.float64)
    runs, steps = 3000, 10

    def run(runs: int, keep: float) -> torch.Tensor:
        layer = nn.Linear(2, 2 * runs, bias=False).double()
        with torch.no_grad():
            layer.weight.copy_(torch.tensor([[1.0, -1.0], [2.0, 0.5]], dtype=torch.float64).repeat(runs, 1))
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.5)
        handle = calibrate(layer, keep=keep)
        for _ in range(steps):
            optimizer.zero_grad()
            (layer.weight.view(runs, 2, 2).square() * curvature / 2).sum().backward()
            optimizer.step()
        handle.remove()
        return layer.weight.detach().view(runs, 2, 2)

    noisy, exact = run(runs, 0.8), run(1, 1.0)[0]
    assert ((noisy.mean(0) - exact).abs() < 4 * noisy.std(0) / runs**0.5).all()
    assert noisy.std(0).min() > 1e-3


def test_lipschitz_leaves_three_values_and_says_what_they_cost():
    model = network()
    handle = calibrate(model, "lipschitz")
    train(model, torch.optim.SGD(model.parameters(), lr=0.1), range(1))
    assert len(model[0].weight.grad.unique()) <= 3
    assert len(model[4].weight.grad.unique()) == 3
    sizes = [model[0].weight.numel(), model[4].weight.numel()]
    assert handle.wire_bits == sum(math.ceil(n * math.log2(3)) + 32 for n in sizes)
    handle.remove()
    bare = calibrate(model)
    assert bare.wire_bits == 32 * sum(sizes)
    bare.remove()


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
def test_clip_lowers_the_bound_and_cuts_what_is_above():
    grad = torch.randn(50, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    bound = 1.5 * grad.square().mean().sqrt()
    seen = one_step(grad, grad, {"calibrator": "lipschitz", "clip": 1.5}, 500)
    assert torch.allclose(seen.abs().amax(), bound, rtol=1e-12)
    pairs = torch.view_as_complex(grad.view(50, 20, 2))
    layer = GradientCalibration("lipschitz", clip=1.5)
    x = torch.zeros_like(grad, requires_grad=True)
    for drawn in (
        torch.view_as_real(one_step(pairs, pairs, {"calibrator": "lipschitz", "clip": 1.5}, 1)[0]),
        torch.autograd.grad(layer(x), x, grad)[0],
    ):
        assert torch.allclose(drawn.abs().amax(), bound, rtol=1e-12)
    above = grad.abs() > bound
    assert torch.allclose(seen.mean(0)[above], grad.sign()[above] * bound)


def test_learned_scale_rises_where_gradients_agree():
    layer = nn.Linear(3, 3, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    handle = calibrate(layer, "learned", rate=0.1, limits=(0.85, 1.15))
    rows = torch.tensor([[1.0, 2.0, 3.0], [1.0, 0.0, 0.0], [1.0, 2.0, 2.0]])
    turned = torch.tensor([[1e4, 2e4, 3e4], [0.0, 1.0, 0.0], [-1.0, -2.0, -2.0]])  # parallel, orthogonal, opposite
    scales, grads = [], []
    layer.weight.grad = torch.zeros(3, 3)
    for grad in (rows, turned, rows, rows):
        layer.weight.grad.copy_(grad)  # as after zero_grad(set_to_none=False)
        optimizer.step()
        scales.append(handle.scales["weight"].flatten().tolist())
        grads.append(layer.weight.grad.clone())
    assert scales[0] == [1.0, 1.0, 1.0]
    assert torch.equal(grads[0], rows)
    assert scales[1] == pytest.approx([1.1, 1.0, 0.9])
    assert torch.allclose(grads[1], turned * torch.tensor([[1.1], [1.0], [0.9]]))
    assert scales[2] == pytest.approx([1.15, 1.0, 0.85])  # the limits
    assert scales[3] == pytest.approx([1.15, 1.1, 0.95])
    handle.remove()


def test_learned_scale_is_the_hypergradient_of_a_filter():
    """The direction in which the scale goes is that which lowers the loss."""
    torch.manual_seed(0)
    curvature = torch.rand(4, 6, dtype=torch.float64) + 0.1
    w0 = torch.randn(4, 6, dtype=torch.float64)
    lr = 0.4
    scale = torch.ones(4, 1, dtype=torch.float64, requires_grad=True)
    w1 = w0 - lr * scale * (curvature * w0)
    loss = (curvature * w1.square() / 2).sum()
    (hypergradient,) = torch.autograd.grad(loss, scale)
    layer = nn.Linear(6, 4, bias=False).double()
    with torch.no_grad():
        layer.weight.copy_(w0)
    optimizer = torch.optim.SGD(layer.parameters(), lr=lr)
    handle = calibrate(layer, "learned")
    for _ in range(2):
        optimizer.zero_grad()
        (curvature * layer.weight.square() / 2).sum().backward()
        optimizer.step()
    change = handle.scales["weight"] - 1
    assert torch.equal(change.sign(), -hypergradient.sign())
    handle.remove()


# ---- what must not change anything


@pytest.mark.parametrize(
    "options", [{"keep": 1.0}, {"keep": 1.0, "per": "filter"}, {"calibrator": "learned", "rate": 0.0}], ids=str
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_the_bare_optimizer_bit_for_bit(options, dtype):
    expected = network(dtype)
    train(expected, torch.optim.SGD(expected.parameters(), lr=0.1, momentum=0.9))
    model = network(dtype)
    handle = calibrate(model, **options)
    train(model, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    handle.remove()
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), expected.parameters(), strict=True))


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_no_trace_in_the_model_and_after_remove(name):
    model, bare = network(), network()
    handle = calibrate(model, **of(name))
    x, _ = batch()
    assert torch.equal(model(x), bare(x))
    assert model.state_dict().keys() == bare.state_dict().keys()
    assert model.eval()(x).equal(bare.eval()(x))
    model.train(), bare.train()
    train(model, torch.optim.SGD(model.parameters(), lr=0.0))
    handle.remove()
    model.load_state_dict(bare.state_dict())
    ours = train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    theirs = train(bare, torch.optim.SGD(bare.parameters(), lr=0.1))
    assert all(map(torch.equal, ours, theirs))
    assert not torch_optimizer._global_optimizer_pre_hooks


def test_the_handle_may_be_forgotten_and_dies_with_the_model():
    model = nn.Linear(40, 40)
    calibrate(model, keep=0.5)
    gc.collect()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 40)).sum().backward()
    optimizer.step()
    assert model.weight.grad.eq(0).float().mean() > 0.3
    reference = weakref.ref(model.weight)
    del model, optimizer
    gc.collect()
    assert reference() is None
    assert not torch_optimizer._global_optimizer_pre_hooks


def test_only_convolutions_and_linear_layers_and_only_weights():
    model = network()
    handle = calibrate(model, keep=0.01)
    train(model, torch.optim.SGD(model.parameters(), lr=0.0), range(1))
    assert (model[1].weight.grad != 0).all()
    assert (model[1].bias.grad != 0).all()
    assert (model[4].bias.grad != 0).all()
    assert model[0].weight.grad.eq(0).float().mean() > 0.8
    assert model[4].weight.grad.eq(0).float().mean() > 0.8
    handle.remove()


def test_layers_chooses_and_a_shared_weight_counts_once():
    first, second = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    second.weight = first.weight
    model = nn.Sequential(nn.Embedding(9, 4), first, second)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    handle = calibrate(model, keep=0.5, layers=(nn.Linear,))
    model(torch.arange(9)).square().sum().backward()
    before = first.weight.grad.clone()
    optimizer.step()
    assert list(handle._weights()) == ["1.weight"]
    hit = first.weight.grad != 0
    assert torch.equal(first.weight.grad[hit], before[hit] * 2)  # not 4
    handle.remove()
    handle = calibrate(model, keep=0.5, layers=(nn.Embedding,))
    optimizer.step()
    assert model[0].weight.grad.eq(0).any()
    handle.remove()


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_only_the_named_optimizer(name):
    model = network()
    first, second = torch.optim.SGD(model.parameters(), lr=0.0), torch.optim.SGD(model.parameters(), lr=0.0)
    handle = calibrate(model, **of(name), optimizer=first)
    train(model, second, range(1))
    assert handle.draws == 0
    train(model, first, range(1))
    assert handle.draws == 1
    other = network()
    train(other, torch.optim.SGD(other.parameters(), lr=0.0), range(1))
    assert handle.draws == 1
    handle.remove()


def test_an_optimizer_calibrates_what_it_holds():
    model = network()
    train(model, torch.optim.SGD(model.parameters(), lr=0.0), range(1))
    handle = calibrate(model, keep=0.5)
    before = model[4].weight.grad.clone()
    torch.optim.SGD(model[0].parameters(), lr=0.1).step()
    assert model[0].weight.grad.eq(0).any()
    assert torch.equal(model[4].weight.grad, before)
    torch.optim.SGD(model[1].parameters(), lr=0.1).step()
    assert handle.draws == 1
    handle.remove()


# ---- resuming


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_reproducible_and_resumed(name):
    def start(seed=3):
        model = network()
        handle = calibrate(model, **of(name), seed=seed)
        return model, handle, torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    whole, handle, optimizer = start()
    expected = train(whole, optimizer, range(6))
    handle.remove()

    model, handle, optimizer = start()
    train(model, optimizer, range(3))
    saved = copy.deepcopy((model.state_dict(), optimizer.state_dict(), handle.state_dict()))
    handle.remove()

    resumed, handle, optimizer = start(seed=99)
    for target, state in zip((resumed, optimizer, handle), saved, strict=True):
        target.load_state_dict(state)
    resumed.load_state_dict(saved[0])
    assert all(map(torch.equal, train(resumed, optimizer, range(3, 6)), expected))
    handle.remove()

    other, handle, optimizer = start(seed=4)
    differs = not all(map(torch.equal, train(other, optimizer, range(6)), expected))
    assert differs == (name != "learned")
    handle.remove()


def test_a_state_of_another_model_is_refused_and_changes_nothing():
    model = network()
    handle = calibrate(model, "learned")
    train(model, torch.optim.SGD(model.parameters(), lr=0.1))
    state = handle.state_dict()
    other = calibrate(nn.Linear(2, 2), "learned")
    with pytest.raises(ValueError, match=r"must fit the model's weights, got one of '0\.weight'"):
        other.load_state_dict(state)
    assert other.draws == 0
    handle.remove(), other.remove()


# ---- in a training loop


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
@pytest.mark.parametrize(
    "make", [torch.optim.AdamW, SNGM, BlockNormalizedSGD, torch.optim.RMSprop], ids=lambda m: m.__name__
)
def test_with_any_optimizer_and_its_closure(name, make):
    ended = []
    for with_closure in (False, True):
        model = network()
        optimizer = make(model.named_parameters(), lr=0.01)
        handle = calibrate(model, **of(name))
        for seed in range(4):
            x, y = batch(seed)

            def closure(model=model, optimizer=optimizer, x=x, y=y):
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                return loss

            if with_closure:
                optimizer.step(closure)
            else:
                closure()
                optimizer.step()
        handle.remove()
        ended.append([p.detach() for p in model.parameters()])
    assert all(map(torch.equal, *ended))


def test_with_ssgd_each_evaluation_is_calibrated():
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1)
    handle = calibrate(model, keep=0.5)

    def closure():
        optimizer.zero_grad()
        x, y = batch()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert handle.draws == 2
    handle.remove()


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_what_is_not_finite_stays_so(name, bad):
    layer = nn.Linear(20, 20, bias=False)
    optimizer = torch.optim.SGD(layer.parameters(), lr=0.0)
    handle = calibrate(layer, **of(name))
    for _ in range(2):
        layer.weight.grad = torch.ones(20, 20)
        layer.weight.grad[3, 4] = bad
        optimizer.step()
        assert not torch.isfinite(layer.weight.grad[3, 4])
    if name == "learned":
        assert torch.isfinite(handle.scales["weight"]).all()
    handle.remove()


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_zero_missing_and_frozen_gradients(name):
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3))
    model[2].requires_grad_(False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    handle = calibrate(model, **of(name))
    for _ in range(2):
        model[0].weight.grad = torch.zeros(3, 3)
        optimizer.step()
    assert torch.equal(model[0].weight.grad, torch.zeros(3, 3))
    assert model[1].weight.grad is None
    handle.remove()


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature")
@pytest.mark.parametrize("name", [*RANDOM, "learned"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16, torch.complex64], ids=str)
def test_dtypes(name, dtype):
    grad = torch.randn(64, 64, dtype=torch.complex64, generator=torch.Generator().manual_seed(0))
    grad = (grad if dtype.is_complex else grad.real).to(dtype)
    seen = one_step(grad, grad, of(name), 60)
    assert seen.dtype == dtype
    if name != "learned":
        wide = seen.to(torch.complex128 if dtype.is_complex else torch.float64)
        error = (wide.mean(0) - grad).abs().square().mean().sqrt()
        assert error < 0.25 * grad.abs().square().double().mean().sqrt() + 0.12 * grad.abs().max()


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    handle = calibrate(table, layers=(nn.Embedding,))
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients, got one of weight"):
        optimizer.step()
    handle.remove()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"calibrator": "dropout"}, "calibrator must be 'bernoulli' or 'lipschitz' or 'learned', got 'dropout'"),
        ({"keep": 0.0}, r"keep must be in \(0, 1\], got 0.0"),
        ({"keep": 1.5}, r"keep must be in \(0, 1\], got 1.5"),
        ({"per": "tensor"}, "per must be 'element' or 'filter', got 'tensor'"),
        ({"calibrator": "lipschitz", "clip": 0.0}, "clip must be None or a finite number above 0, got 0.0"),
        ({"calibrator": "learned", "rate": -1.0}, "rate must be a finite number of at least 0, got -1.0"),
        ({"calibrator": "learned", "limits": (2.0, 3.0)}, "limits must be two finite numbers around 1"),
        ({"calibrator": "lipschitz", "keep": 0.5}, "keep is an option of calibrator='bernoulli'"),
        ({"rate": 0.1}, "rate is an option of calibrator='learned', got it with calibrator='bernoulli'"),
        ({"seed": None}, "seed must be an integer, got None"),
        ({"seed": True}, "seed must be an integer, got True"),
        ({"keep": "0.9"}, r"keep must be in \(0, 1\], got '0.9'"),
        ({"keep": True}, r"keep must be in \(0, 1\], got True"),
        ({"per": 1}, "per must be 'element' or 'filter', got 1"),
        ({"calibrator": "lipschitz", "clip": "2.5"}, "clip must be None or a finite number above 0, got '2.5'"),
        ({"calibrator": "learned", "rate": "0.1"}, "rate must be a finite number of at least 0, got '0.1'"),
        ({"calibrator": "learned", "limits": 2.0}, "limits must be two finite numbers around 1, from 0 up, got 2.0"),
        ({"calibrator": "learned", "limits": (0.1, "10")}, "limits must be two finite numbers .*, got '10'"),
        ({"calibrator": None}, "calibrator must be 'bernoulli' or 'lipschitz' or 'learned', got None"),
    ],
    ids=str,
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(network(), **options)
    with pytest.raises(ValueError, match=message):
        GradientCalibration(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": nn.Linear}, "layers must be a tuple of module types, got <class"),
        ({"layers": ("Linear",)}, r"layers must be a tuple of module types, got \('Linear',\)"),
        ({"model": [nn.Linear(1, 1)]}, r"model must be a torch\.nn\.Module, got list"),
        ({"optimizer": "sgd"}, r"optimizer must be a torch\.optim\.Optimizer or .*, got str"),
    ],
    ids=str,
)
def test_arguments_of_a_wrong_type_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        calibrate(**{"model": network(), **options})


def test_states_of_a_wrong_type_are_named():
    handle = calibrate(network())
    for name in ("seed", "draws"):
        with pytest.raises(ValueError, match=f"{name} must be an integer, got '3'"):
            handle.load_state_dict({**handle.state_dict(), name: "3"})
    handle.remove()
    with pytest.raises(ValueError, match="persistent must be True or False, got 'no'"):
        GradientCalibration(persistent="no")


def test_a_model_without_such_layers_is_refused():
    with pytest.raises(ValueError, match="model must have a layer of Linear, _ConvNd, got none"):
        calibrate(nn.Sequential(nn.ReLU(), nn.LayerNorm(3)))
    assert not torch_optimizer._global_optimizer_pre_hooks


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**16), st.floats(0.05, 1.0), st.floats(1e-20, 1e20), st.integers(1, 40))
def test_every_draw_is_one_of_the_allowed_values(seed, keep, size, count):
    generator = torch.Generator().manual_seed(seed)
    grad = torch.randn(count, generator=generator, dtype=torch.float64) * size
    chance = torch.rand(count, generator=generator, dtype=torch.float64)
    out = kept(grad, chance, keep)
    assert ((out == 0) | ((out * keep - grad).abs() <= 1e-12 * grad.abs())).all()
    bound = grad.abs().amax()
    out = ternary(grad, bound, chance)
    assert ((out == 0) | (out == grad.sign() * bound)).all()
    assert out[grad.abs().argmax()].abs() == bound  # its chance is 1


# ---- the layer


def layered(**options) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 4, 3), GradientCalibration(**options), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3))


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_the_layer_is_the_identity(name):
    layer = GradientCalibration(**of(name))
    x = torch.randn(3, 4, requires_grad=True)
    assert torch.equal(layer(x), x)
    assert layer.eval()(x) is x
    assert layer.train()(x.detach()).grad_fn is None
    with torch.no_grad():
        assert layer(x).grad_fn is None
    assert not layer.state_dict()
    assert not list(layer.parameters())


@pytest.mark.parametrize("name", RANDOM)
def test_the_layers_gradient_is_unbiased(name):
    layer = GradientCalibration(**of(name))
    grad = torch.randn(5, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    x = torch.zeros(5, 4, dtype=torch.float64, requires_grad=True)
    seen = []
    for _ in range(DRAWS):
        (given,) = torch.autograd.grad(layer(x), x, grad)
        seen.append(given)
    error = (formula(name, grad) / DRAWS).sqrt()
    stacked = torch.stack(seen)
    assert ((stacked.mean(0) - grad).abs() <= 4 * error + 1e-12).all()
    if name == "bernoulli-filter":  # a channel is kept or dropped for the whole batch
        assert ((stacked == 0).all(dim=1) | (stacked != 0).all(dim=1)).all()


def test_each_rank_draws_its_own_numbers_in_a_layer(monkeypatch):
    monkeypatch.setattr(torch.distributed, "is_initialized", lambda: True)
    drawn = []
    for rank in (0, 1, 0):
        monkeypatch.setattr(torch.distributed, "get_rank", lambda rank=rank: rank)
        x = torch.zeros(20, 20, requires_grad=True)
        drawn.append(torch.autograd.grad(GradientCalibration(keep=0.5)(x), x, torch.ones(20, 20))[0])
    assert not torch.equal(drawn[0], drawn[1])
    assert torch.equal(drawn[0], drawn[2])


def test_the_layer_does_nothing_in_evaluation_and_at_the_neutral_settings():
    bare = nn.Sequential(*[m for m in layered() if not isinstance(m, GradientCalibration)])
    expected = train(bare, torch.optim.SGD(bare.parameters(), lr=0.1))
    for options in ({"keep": 1.0}, {"calibrator": "learned", "rate": 0.0}):
        model = layered(**options)
        assert all(map(torch.equal, train(model, torch.optim.SGD(model.parameters(), lr=0.1)), expected))
    model = layered(keep=0.2).eval()
    assert all(map(torch.equal, train(model, torch.optim.SGD(model.parameters(), lr=0.1)), expected))


def test_the_layer_learns_by_channel():
    """A channel's gradient is its sum over the batch and all positions; its sign is compared with the last one's."""
    layer = GradientCalibration("learned", rate=0.1)
    x = torch.zeros(2, 3, 2, requires_grad=True)
    rows = torch.tensor([[[9.0, -10.0], [1.0, 1.0], [1.0, -1.0]], [[1.0, 1.0], [1.0, 1.0], [0.0, 0.0]]])
    torch.autograd.grad(layer(x), x, rows)
    (seen,) = torch.autograd.grad(layer(x), x, rows * torch.tensor([[1.0], [-5.0], [1.0]]))
    expected = torch.tensor([1.1, 0.9, 1.0])
    assert torch.allclose(layer.scale, expected)
    assert torch.allclose(seen, rows * (torch.tensor([1.0, -5.0, 1.0]) * expected).view(3, 1))
    torch.autograd.grad(layer(x), x, rows)
    assert torch.allclose(layer.scale, torch.tensor([1.2, 0.8, 1.0]))


@pytest.mark.parametrize("name", [*RANDOM, "learned"])
def test_a_persistent_layer_resumes(name):
    def start():
        model = layered(**of(name), persistent=True)
        return model, torch.optim.SGD(model.parameters(), lr=0.1)

    model, optimizer = start()
    expected = train(model, optimizer, range(6))
    model, optimizer = start()
    train(model, optimizer, range(3))
    saved = copy.deepcopy(model.state_dict())
    assert "1.draws" in saved
    resumed, optimizer = start()
    resumed.load_state_dict(saved)
    assert all(map(torch.equal, train(resumed, optimizer, range(3, 6)), expected))
    with pytest.raises(RuntimeError, match=r'Missing key\(s\) in state_dict: "1.draws"'):
        resumed.load_state_dict({k: v for k, v in saved.items() if not k.startswith("1.")})
    twin = copy.deepcopy(resumed)
    assert twin.state_dict().keys() == resumed.state_dict().keys()


def test_variance_compounds_with_depth():
    """Why calibrate() is recommended: two layers below each other multiply their second moments."""
    grad = torch.ones(1, 2000, dtype=torch.float64)
    for depth, expected in ((1, 2.0), (3, 8.0)):
        stack = nn.Sequential(*[GradientCalibration(keep=0.5, seed=i) for i in range(depth)])
        x = torch.zeros(1, 2000, dtype=torch.float64, requires_grad=True)
        moments = [torch.autograd.grad(stack(x), x, grad)[0].square().mean() for _ in range(20)]
        assert sum(moments) / 20 == pytest.approx(expected, rel=0.06)


def test_the_layer_says_what_it_is():
    assert repr(GradientCalibration("lipschitz", clip=2.5)) == "GradientCalibration('lipschitz', clip=2.5)"


def test_the_model_compiles_without_new_compilations():
    model = network()
    handle = calibrate(model, keep=0.9)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    compiled = torch.compile(model, backend="eager")
    torch._dynamo.reset()
    counters = torch._dynamo.utils.counters
    counters.clear()
    train(compiled, optimizer, range(2))
    after_two = counters["stats"]["unique_graphs"]
    train(compiled, optimizer, range(2, 6))
    assert counters["stats"]["unique_graphs"] == after_two
    assert handle.draws == 6
    handle.remove()


def test_a_seed_draws_its_own_numbers():
    grad = torch.ones(30, 30)
    first, second = (one_step(grad, grad, {"keep": 0.5, "seed": seed}, 1)[0] for seed in (0, 1))
    assert not torch.equal(first, second)

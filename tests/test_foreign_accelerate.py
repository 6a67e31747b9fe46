"""Under Accelerate: the wrapped optimizers step as the bare ones do, and hooks may be given the wrapper."""

import accelerate
import pytest
import torch
from torch import nn

import steepest
from steepest.optim import ScaledSGD

OPTIMIZERS = {
    "ScaledSGD": lambda model: ScaledSGD(model.named_parameters(), lr=0.1),
    "SNGM": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1),
    "SNGM, foreach": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1, foreach=True),
    "BlockNormalizedSGD": lambda model: steepest.BlockNormalizedSGD(model.named_parameters(), lr=0.1),
    "LARS": lambda model: steepest.LARS(model.named_parameters(), lr=1.0),
    "INSGD": lambda model: (steepest.track_input_power(model), steepest.INSGD(model.named_parameters(), lr=0.1))[1],
}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))


def batches(n=4):
    return torch.randn(n, 5, 4, generator=torch.Generator().manual_seed(1))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.fixture(autouse=True)
def _forget():
    """Accelerate keeps its state for the whole process, which other tests made or will make."""
    reset()
    yield
    reset()


def reset():
    accelerate.state.AcceleratorState._reset_state(reset_partial_state=True)
    accelerate.state.GradientState._reset_state()


@pytest.fixture
def accelerator():
    return accelerate.Accelerator(cpu=True)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_prepared_optimizer_steps_as_the_bare_one(name, accelerator):
    model, bare = network(), network()
    expected = OPTIMIZERS[name](bare)
    prepared, optimizer = accelerator.prepare(model, OPTIMIZERS[name](model))
    for x in batches():
        for net, opt, backward in (
            (prepared, optimizer, accelerator.backward),
            (bare, expected, torch.Tensor.backward),
        ):
            opt.zero_grad()
            backward((net(x) - 1).square().mean())
            opt.step()
    assert torch.equal(weights(model), weights(bare))


def test_its_state_is_saved_and_loaded(accelerator, tmp_path):
    model = network()
    prepared, optimizer = accelerator.prepare(model, OPTIMIZERS["SNGM"](model))

    def train(xs):
        for x in xs:
            optimizer.zero_grad()
            accelerator.backward((prepared(x) - 1).square().mean())
            optimizer.step()
        return weights(model)

    train(batches()[:2])
    accelerator.save_state(tmp_path)
    straight = train(batches()[2:])
    accelerator.load_state(tmp_path)
    assert torch.equal(train(batches()[2:]), straight)


def test_accumulation_steps_once_for_all_its_batches():
    accelerator = accelerate.Accelerator(cpu=True, gradient_accumulation_steps=2)
    model, bare = network(), network()
    prepared, optimizer = accelerator.prepare(model, OPTIMIZERS["SNGM"](model))
    expected, moves = OPTIMIZERS["SNGM"](bare), []
    for x in batches():
        before = weights(model)
        with accelerator.accumulate(prepared):
            accelerator.backward((prepared(x) - 1).square().mean())
            optimizer.step()
            optimizer.zero_grad()
        moves.append(not torch.equal(before, weights(model)))
    for pair in batches().split(2):
        expected.zero_grad()
        (sum((bare(x) - 1).square().mean() for x in pair) / 2).backward()
        expected.step()
    assert moves == [False, True, False, True]
    assert torch.allclose(weights(model), weights(bare), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("given", ["wrapper", "its optimizer"])
def test_normalize_gradients_acts_on_what_the_wrapper_steps(given, accelerator):
    model = network()
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(model.named_parameters(), lr=1.0))
    steepest.normalize_gradients(optimizer if given == "wrapper" else optimizer.optimizer, over="all")
    before = weights(model)
    accelerator.backward(1000 * prepared(batches()[0]).square().mean())
    optimizer.step()
    assert (weights(model) - before).norm() == pytest.approx(1.0, rel=1e-5)


def test_calibrate_may_be_told_the_wrapper(accelerator):
    model = network()
    prepared, optimizer = accelerator.prepare(model, torch.optim.SGD(model.named_parameters(), lr=1.0))
    handle = steepest.calibrate(model, keep=0.5, optimizer=optimizer)
    accelerator.backward(prepared(batches()[0]).square().mean())
    optimizer.step()
    assert handle.draws == 1
    assert 0 < int((model[0].weight.grad == 0).sum()) < model[0].weight.numel()


def test_a_closure_goes_through_the_wrapper(accelerator):
    model = network()
    prepared, optimizer = accelerator.prepare(model, steepest.SSGD(model.named_parameters(), lr=0.1))
    before = weights(model)

    def closure():
        optimizer.zero_grad()
        loss = (prepared(batches()[0]) - 1).square().mean()
        accelerator.backward(loss)
        return loss

    optimizer.step(closure)
    assert optimizer.optimizer.noise.draws == 1
    assert not torch.equal(weights(model), before)


def test_an_optimizer_without_names_is_still_refused_in_layers(accelerator):
    model = network()
    _, optimizer = accelerator.prepare(model, torch.optim.SGD(model.parameters(), lr=1.0))
    with pytest.raises(ValueError, match="over='layer' needs parameters with names"):
        steepest.normalize_gradients(optimizer)

"""SSGD, the optimizer: SGD at alpha = 0, its closure at two points, its state in files, copies and groups."""

import copy
import io
import itertools
import pickle

import pytest
import torch
from torch import nn
from torch.distributed.optim.apply_optimizer_in_backward import _apply_optimizer_in_backward

from steepest import SSGD, SymmetricNoise
from steepest.optim import ScaledSGD

SGD_OPTIONS = {
    "plain": {"momentum": 0.0},
    "momentum": {"momentum": 0.9},
    "decay": {"momentum": 0.9, "weight_decay": 0.01},
    "nesterov": {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
    "maximize": {"momentum": 0.5, "maximize": True},
}
LAWS = list(itertools.product(("sign", "gaussian"), ("tensor", "filter"), ("copy", "regenerate"), (2, 1)))
PATHS = {
    "loop": ({"fused": False}, {"foreach": False}),
    "foreach": ({"foreach": True}, {"foreach": True}),
    "fused": ({"fused": True}, {"fused": True}),
}
CASES = list(itertools.product(SGD_OPTIONS, PATHS))


def named(law):
    return dict(zip(("noise", "per", "memory", "sides"), law, strict=True))


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def batch(step, dtype=torch.float64):
    return torch.randn(16, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64).to(dtype)


def closure_of(model, optimizer, step, split=False):
    """Loss on the whole batch, or at each point on its half."""

    def closure():
        optimizer.zero_grad()
        x = batch(step, next(model.parameters()).dtype)
        if split and optimizer.noise.sign:
            x = x[:8] if optimizer.noise.sign > 0 else x[8:]
        loss = model(x).square().mean()
        loss.backward()
        return loss

    return closure


def train(model, optimizer, steps=5, split=False):
    """The losses."""
    return [optimizer.step(closure_of(model, optimizer, step, split)).item() for step in range(steps)]


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def run(make, steps, dtype=torch.float64, split=False):
    model = network(dtype)
    optimizer = make(model.named_parameters())
    return flat(model), train(model, optimizer, steps, split), flat(model)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(("name", "path"), [case for case in CASES if case != ("nesterov", "fused")])  # refused
def test_alpha_zero_is_sgd_bit_for_bit(name, path, dtype):
    """On the same path: torch's own differ by rounding."""
    ours, theirs = PATHS[path]
    start, losses, expected = run(lambda p: torch.optim.SGD(p, lr=0.1, **SGD_OPTIONS[name], **theirs), 5, dtype)
    assert not torch.equal(start, expected)
    for law in LAWS:
        options = {**SGD_OPTIONS[name], **ours, **named(law)}
        _, seen, ended = run(lambda p, options=options: SSGD(p, lr=0.1, alpha=0.0, **options), 5, dtype)
        assert torch.equal(ended, expected), law
        assert seen == losses, law


def test_alpha_zero_and_halves_of_the_batch_are_sgd_on_their_mean():
    split, halves, whole = network(), network(), network()
    train(split, SSGD(split.parameters(), lr=0.1, alpha=0.0, fused=False), split=True)
    train(whole, SSGD(whole.parameters(), lr=0.1, alpha=0.0))
    sgd = torch.optim.SGD(halves.parameters(), lr=0.1, momentum=0.9, foreach=False)
    for step in range(5):
        sgd.zero_grad()
        gradients = [
            torch.autograd.grad(halves(x).square().mean(), list(halves.parameters())) for x in batch(step).chunk(2)
        ]
        for p, first, second in zip(halves.parameters(), *gradients, strict=True):
            p.grad = torch.lerp(first, second, 0.5)
        sgd.step()
    assert torch.equal(flat(split), flat(halves))
    torch.testing.assert_close(flat(split), flat(whole), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("law", LAWS, ids=["-".join(map(str, law)) for law in LAWS])
def test_it_is_symmetric_noise_in_front_of_sgd(law):
    for split in (False, True):
        wrapped, ours = network(), network()
        noise = SymmetricNoise(wrapped.named_parameters(), alpha=0.2, seed=4, **named(law))
        sgd = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9, foreach=False)
        sgd.noise = noise
        for step in range(5):
            sgd.step(noise.closure(closure_of(wrapped, sgd, step, split)))
        optimizer = SSGD(ours.named_parameters(), lr=0.1, alpha=0.2, seed=4, fused=False, **named(law))
        train(ours, optimizer, split=split)
        assert torch.equal(flat(wrapped), flat(ours))
        assert optimizer.noise.draws == noise.draws == 5
        assert optimizer.noise.memory == noise.memory
        plain = network()
        train(plain, torch.optim.SGD(plain.parameters(), lr=0.1, momentum=0.9))
        assert not torch.allclose(flat(plain), flat(ours), rtol=1e-3)


def test_without_a_closure_it_is_sgd_and_draws_nothing():
    ours, theirs = network(), network()
    optimizer = SSGD(ours.named_parameters(), lr=0.1, alpha=0.5)
    sgd = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    for step in range(3):
        for model, each in ((ours, optimizer), (theirs, sgd)):
            closure_of(model, torch.optim.SGD(model.parameters()), step)()
            assert each.step() is None
    assert torch.equal(flat(ours), flat(theirs))
    assert optimizer.noise.draws == 0


def test_the_closure_is_evaluated_with_gradients_at_both_points_and_the_mean_loss_returned():
    w = nn.Parameter(torch.tensor([[2.0]], dtype=torch.float64))
    optimizer = SSGD([w], lr=0.01, momentum=0.0, alpha=0.5)
    seen = []

    def closure():
        optimizer.zero_grad()
        loss = w.pow(4).sum()
        loss.backward()
        seen.append((optimizer.noise.sign, torch.is_grad_enabled(), w.item()))
        return loss

    with torch.no_grad():
        loss = optimizer.step(closure)
    assert [(sign, enabled) for sign, enabled, _ in seen] == [(1, True), (-1, True)]
    assert sorted(at for _, _, at in seen) == [1.0, 3.0]
    assert loss.item() == 41.0
    assert optimizer.noise.sign == 0
    assert w.item() == pytest.approx(2 - 0.01 * (4 * 2**3 + 12 * 2), rel=1e-14)


def resumed(model, optimizer, make):
    """A new model and optimizer with the state of these, by way of a file."""
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    model = network()
    model.load_state_dict(state["model"])
    optimizer = make(model.named_parameters())
    optimizer.load_state_dict(state["optimizer"])
    return model, optimizer


def copied(model, optimizer, make):
    return copy.deepcopy((model, optimizer))


def pickled(model, optimizer, make):
    return pickle.loads(pickle.dumps((model, optimizer)))


@pytest.mark.parametrize("way", [resumed, copied, pickled])
@pytest.mark.parametrize("seed", [0, 6])
def test_resume_in_the_middle_is_bit_exact(way, seed):
    ends = []
    for interrupted in (False, True):
        model = network()
        optimizer = SSGD(model.named_parameters(), lr=0.1, alpha=0.2, noise="gaussian", seed=seed)
        for step in range(6):
            if interrupted and step == 3:
                # The new one has other defaults: what counts is the state.
                model, optimizer = way(model, optimizer, lambda p: SSGD(p, lr=0.5, alpha=0.7, seed=99))
            optimizer.step(closure_of(model, optimizer, step))
        assert optimizer.noise.state_dict() == {"seed": seed, "draws": 6}
        ends.append(flat(model))
    assert torch.equal(*ends)


def test_the_noises_go_on_after_a_closure_that_raised():
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1)
    before = flat(model)
    with pytest.raises(ZeroDivisionError):
        optimizer.step(lambda: 1 / (1 + optimizer.noise.sign))
    assert torch.equal(flat(model), before)
    assert optimizer.state_dict()["param_groups"][0]["noise_draws"] == 1
    train(model, optimizer, 1)
    assert optimizer.state_dict()["param_groups"][0]["noise_draws"] == 2
    assert not torch.equal(flat(model), before)


def test_a_state_goes_to_torch_sgd_and_back():
    model = network()
    ours = SSGD(model.named_parameters(), lr=0.1, momentum=0.8, alpha=0.2)
    train(model, ours, 2)
    sgd = torch.optim.SGD(model.named_parameters(), lr=0.3)
    sgd.load_state_dict(ours.state_dict())
    assert sgd.param_groups[0]["momentum"] == 0.8
    weight = model[0].weight
    assert torch.equal(sgd.state[weight]["momentum_buffer"], ours.state[weight]["momentum_buffer"])
    train(model, sgd, 1)
    again = SSGD(model.named_parameters(), lr=0.7, alpha=0.5)
    again.load_state_dict(sgd.state_dict())
    group = again.param_groups[0]
    assert (group["lr"], group["momentum"], group["alpha"], group["noise_draws"]) == (0.1, 0.8, 0.2, 2)
    assert torch.equal(again.state[weight]["momentum_buffer"], sgd.state[weight]["momentum_buffer"])
    train(model, again, 1)
    assert again.noise.draws == 3
    fresh = torch.optim.SGD(model.named_parameters(), lr=0.3)  # a state that knows nothing of noise
    again.load_state_dict(fresh.state_dict())
    assert again.param_groups[0]["alpha"] == 0.5
    train(model, again, 1)


def noise_of_a_step(optimizer, params):
    clean = [p.detach().clone() for p in params]
    seen = []

    def closure():
        if optimizer.noise.sign > 0:
            seen.extend((p.detach() - w).abs() / w.square().mean().sqrt() for p, w in zip(params, clean, strict=True))
        return torch.zeros(())

    optimizer.step(closure)
    return seen


def test_groups_have_an_alpha_of_their_own_which_may_change_and_groups_may_be_added():
    torch.manual_seed(0)
    a, b, c = (nn.Parameter(torch.randn(s, dtype=torch.float64)) for s in ((3, 4), (4, 5), (2, 6)))
    optimizer = SSGD([{"params": [a]}, {"params": [b], "alpha": 0.3}], lr=0.1, alpha=0.1)

    def check(optimizer, params, *alphas):
        for share, alpha in zip(noise_of_a_step(optimizer, params), alphas, strict=True):
            torch.testing.assert_close(share, torch.full_like(share, alpha), rtol=1e-10, atol=1e-12)

    check(optimizer, (a, b), 0.1, 0.3)
    optimizer.add_param_group({"params": [c], "alpha": 0.6})
    check(optimizer, (a, b, c), 0.1, 0.3, 0.6)
    optimizer.param_groups[1]["alpha"] = 0.05
    check(optimizer, (a, b, c), 0.1, 0.05, 0.6)
    optimizer.load_state_dict(optimizer.state_dict())  # the groups are new dicts
    optimizer.param_groups[0]["alpha"] = 0.0
    check(optimizer, (a, b, c), 0.0, 0.05, 0.6)
    assert optimizer.noise.draws == 4
    with pytest.raises(ValueError, match="alpha must be a finite number of at least 0, got -1"):
        optimizer.add_param_group({"params": [nn.Parameter(torch.ones(2, 2))], "alpha": -1})
    assert len(optimizer.param_groups) == 3
    optimizer.param_groups[0]["alpha"] = -1.0
    with pytest.raises(ValueError, match=r"alpha must be a finite number of at least 0, got -1\.0"):
        optimizer.step(lambda: torch.zeros(()))


@pytest.mark.parametrize(
    ("name", "value"),
    [("noise", "gaussian"), ("per", "filter"), ("sides", 1), ("noise_seed", 1), ("memory", "regenerate")],
)
def test_a_group_with_a_noise_of_its_own_is_refused(name, value):
    first, second = (nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    optimizer = SSGD([first], lr=0.1)
    with pytest.raises(ValueError, match=f"{name} must be the same for all groups, got {value!r}: there is one noise"):
        optimizer.add_param_group({"params": [second], name: value})
    assert len(optimizer.param_groups) == 1


def test_a_state_with_a_bad_alpha_is_refused_and_changes_nothing():
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1)
    state = copy.deepcopy(optimizer.state_dict())
    before = copy.deepcopy(state)
    state["param_groups"][0]["alpha"] = float("nan")
    with pytest.raises(ValueError, match="alpha must be"):
        optimizer.load_state_dict(state)
    assert optimizer.state_dict() == before


def test_hooks_run_once_a_step():
    """Also after a ScaledSGD was made, into whose step torch has then put the hooks."""
    ScaledSGD([nn.Parameter(torch.ones(2, 2))], lr=0.1)
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1)
    calls = []
    optimizer.register_step_pre_hook(lambda *_: calls.append("before"))
    optimizer.register_step_post_hook(lambda *_: calls.append("after"))
    train(model, optimizer, 1)
    optimizer.step()
    assert calls == ["before", "after"] * 2


def test_a_schedule_drives_it():
    runs = []
    for make in (lambda p: SSGD(p, lr=0.1, alpha=0.0), lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9)):
        model = network()
        optimizer = make(model.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.2, total_steps=6)
        for step in range(5):
            optimizer.step(closure_of(model, optimizer, step))
            schedule.step()
        runs.append(flat(model))
    assert torch.equal(*runs)


def test_one_sided_steps_evaluate_once():
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1, alpha=0.3, sides=1)
    signs = []
    closure = closure_of(model, optimizer, 0)

    def counted():
        signs.append(optimizer.noise.sign)
        return closure()

    optimizer.step(counted)
    assert signs == [1]


def test_no_step_inside_its_own_contexts():
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1)
    with optimizer.noise.plus(), pytest.raises(RuntimeError, match=r"SSGD.step\(\) inside plus\(\)"):
        optimizer.step()
    with pytest.raises(RuntimeError, match=r"SSGD.step\(\) after plus\(\) without minus\(\)"):
        optimizer.step(lambda: torch.zeros(()))
    optimizer.noise.reset()
    train(model, optimizer, 1)


def test_a_part_of_the_parameters_without_a_closure_is_refused():
    with pytest.raises(ValueError, match="SSGD moves all weights together and evaluates a closure, and Zero"):
        _apply_optimizer_in_backward(SSGD, network().parameters(), {"lr": 0.1})


def test_parameters_none_of_which_would_move_are_refused_at_once():
    with pytest.raises(ValueError, match="2 or more dimensions, got none"):
        SSGD([nn.Parameter(torch.ones(3))], lr=0.1)
    with pytest.raises(ValueError, match="2 or more dimensions, got none"):
        SSGD([{"params": [nn.Parameter(torch.ones(3))]}, {"params": [nn.Parameter(torch.ones(()))]}], lr=0.1)
    lazy = nn.LazyLinear(3)
    optimizer = SSGD(lazy.parameters(), lr=0.1)  # which has its shape by the first step
    lazy(torch.ones(1, 2))
    assert optimizer.step(lambda: torch.zeros(())) == 0

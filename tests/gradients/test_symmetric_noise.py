"""Symmetric weight noise: its law, contexts in order, what else lives in a training loop."""

import contextlib
import copy
import gc
import itertools
import math
import warnings

import pytest
import torch
from torch import nn

from steepest import SNGM, SSGD, SymmetricNoise
from steepest.gradients.draws import normal, seeded, signs
from tests.gradients.noisy import (
    CPU,
    NOISES,
    BoomError,
    bits,
    contexts,
    each_memory,
    every_law,
    hooks,
    magnitudes,
    network,
    offsets,
    weight,
)

# Most contexts here have no backward().
pytestmark = pytest.mark.filterwarnings("ignore:none of the weights that SymmetricNoise moved")

# ---- the noise itself


@every_law
def test_the_noise_has_the_norm_of_alpha_times_the_weights_and_is_mirrored(noise, per):
    w = weight(5, 4, 3)
    with torch.no_grad():
        w[1] *= 100
    source = SymmetricNoise([w], alpha=0.1, noise=noise, per=per)
    size = magnitudes(w, 0.1, per)
    for _ in range(3):
        (up,), (down,) = offsets(source, [w])
        torch.testing.assert_close(up, -down, rtol=0, atol=1e-13)
        if noise == "sign":
            torch.testing.assert_close(up.abs(), size, rtol=1e-10, atol=1e-13)
        else:
            dims = (1, 2) if per == "filter" else (0, 1, 2)
            torch.testing.assert_close(up.square().sum(dims), size.square().sum(dims), rtol=1e-10, atol=0)
            assert up.abs().std() > 0.1 * size.mean()


@pytest.mark.parametrize(("fill", "fourth"), [(signs, 1.0), (normal, 3.0)], ids=["sign", "gaussian"])
def test_the_directions_have_their_moments(fill, fourth):
    x = fill(100_000, torch.float64, seeded(CPU, 0))
    for power, expected in ((1, 0.0), (2, 1.0), (3, 0.0), (4, fourth)):
        error = max(x.pow(power).std().item(), 1e-9) / math.sqrt(len(x))
        assert x.pow(power).mean().item() == pytest.approx(expected, abs=4 * error)
    for lag in (1, 2, 7, 8, 64, 12_504, 50_016):  # the last two: one random word makes 64 signs
        products = x[lag:] * x[:-lag]
        assert products.mean().item() == pytest.approx(0, abs=4 / math.sqrt(len(products)))


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_as_many_signs_as_asked_for(count):
    drawn = signs(count, torch.float32, seeded(CPU, 0))
    assert drawn.shape == (count,)
    assert drawn.dtype == torch.float32
    assert torch.equal(drawn.abs(), torch.ones(count))


@every_law
def test_seed_and_number_of_the_draw_fix_it_and_nothing_else_is_touched(noise, per):
    def drawn(seed, draws=0, shape=(6, 7)):
        w = weight(*shape)
        source = SymmetricNoise([w], noise=noise, per=per, seed=seed)
        source.load_state_dict({"seed": seed, "draws": draws})
        return [up[0] for up, _ in (offsets(source, [w]) for _ in range(3))]

    state = torch.get_rng_state()
    first = drawn(5)
    torch.rand(3)  # what others draw does not matter
    torch.set_rng_state(state)
    assert all(torch.equal(a, b) for a, b in zip(first, drawn(5), strict=True))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(drawn(5, draws=2)[0], first[2])
    different = [*first, *drawn(6)]
    assert all(not torch.equal(a.sign(), b.sign()) for a, b in itertools.combinations(different, 2))


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("shape", [(6, 7), (2048, 2049)], ids=["small", "large"])
def test_weights_of_one_shape_get_different_noises(noise, shape):
    """Small tensors share a call of the generator, large ones have one each."""
    a, b = weight(*shape, dtype=torch.float32), weight(*shape, dtype=torch.float32)
    (up_a, up_b), _ = offsets(SymmetricNoise([a, b], noise=noise), [a, b])
    agree = (up_a.sign() == up_b.sign()).double().mean().item()
    assert agree == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(a.numel()))


def test_only_weights_of_two_and_more_dimensions_that_train_are_moved_and_only_once():
    matrix, frozen, vector, scalar, empty = weight(3, 4), weight(3, 4), weight(5), weight(), weight(0, 4)
    frozen.requires_grad_(False)
    params = [matrix, frozen, vector, scalar, empty]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        source = SymmetricNoise([*params, matrix], alpha=0.1)
    up, down = offsets(source, params)
    torch.testing.assert_close(up[0].abs(), magnitudes(matrix, 0.1, "tensor"))
    assert not any(n.any() for n in [*up[1:], *down[1:]])


def test_names_and_groups_with_an_alpha_of_their_own_that_may_change():
    a, b, c = weight(3, 4), weight(4, 5), weight(2, 2)
    source = SymmetricNoise(
        [{"params": [("a", a)]}, {"params": [("b", b)], "alpha": 0.3}, {"params": c, "alpha": 0}], alpha=0.1
    )
    for alpha in (0.3, 0.7, 0.0):
        source.param_groups[1]["alpha"] = alpha
        up, _ = offsets(source, [a, b, c])
        for n, w, expected in zip(up, (a, b, c), (0.1, alpha, 0.0), strict=True):
            torch.testing.assert_close(n.abs(), magnitudes(w, expected, "tensor"))


@each_memory
@every_law
def test_alpha_zero_moves_nothing(noise, per, memory):
    w = weight(3, 4)
    before = bits(w)
    source = SymmetricNoise([w], alpha=0.0, noise=noise, per=per, memory=memory)
    for context in contexts(source):
        with context():
            assert torch.equal(bits(w), before)
    assert source.draws == 1


def test_state_dict_goes_on_with_the_noises():
    w = weight(3, 4)
    straight = SymmetricNoise([w], seed=3)
    offsets(straight, [w])
    saved = copy.deepcopy(straight.state_dict())
    assert saved == {"seed": 3, "draws": 1}
    resumed = SymmetricNoise([w], seed=8)
    resumed.load_state_dict(saved)
    assert torch.equal(offsets(straight, [w])[0][0], offsets(resumed, [w])[0][0])
    with pytest.raises(KeyError):
        resumed.load_state_dict({"seed": 3})


# ---- order


def set_grads(model):
    for p in model.parameters():
        p.grad = torch.ones_like(p)


def test_contexts_out_of_order_are_refused_and_leave_the_weights():
    model = network()
    before = [bits(p) for p in model.parameters()]
    source = SymmetricNoise(model.parameters())
    with pytest.raises(RuntimeError, match=r"minus\(\) without plus\(\)"), source.minus():
        pass
    calls = {
        "plus": lambda: source.plus().__enter__(),
        "minus": lambda: source.minus().__enter__(),
        "reset": source.reset,
    }
    for outer, inner in itertools.product(("plus", "minus"), calls):
        with ready(source, outer), pytest.raises(RuntimeError, match=rf"{inner}\(\) inside {outer}\(\)"):
            calls[inner]()
        source.reset()
    with source.plus():
        pass
    with pytest.raises(RuntimeError, match=r"plus\(\) after plus\(\)"), source.plus():
        pass
    with source.minus():  # the pair is still good
        pass
    with pytest.raises(RuntimeError, match=r"minus\(\) without plus\(\)"), source.minus():
        pass
    assert all(torch.equal(bits(p), b) for p, b in zip(model.parameters(), before, strict=True))
    one_sided = SymmetricNoise(model.parameters(), sides=1)
    with one_sided.plus():
        pass
    with pytest.raises(RuntimeError, match=r"minus\(\) does not exist with sides=1"), one_sided.minus():
        pass
    with one_sided.plus():
        pass


def ready(source, name):
    """The context of that name, after whatever must come before it."""
    if name == "minus":
        with source.plus():
            pass
    return getattr(source, name)()


STEPPERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1),
    "adam": lambda p: torch.optim.Adam(p, lr=0.1),
    "ssgd": lambda p: SSGD(p, lr=0.1),
    "sngm": lambda p: SNGM(p, lr=0.1),
}


@pytest.mark.parametrize("scaled", [False, True], ids=["bare", "GradScaler"])
@pytest.mark.parametrize("name", STEPPERS)
def test_no_optimizer_steps_in_the_middle_of_a_pair(name, scaled):
    model = network(torch.float32)
    count = hooks()
    source = SymmetricNoise(model.parameters())
    optimizer = STEPPERS[name](list(model.parameters())[2:])  # that it holds one of the weights is enough
    scaler = torch.amp.GradScaler("cpu", enabled=scaled)
    before = [bits(p) for p in model.parameters()]

    def step():
        set_grads(model)
        scaler.scale(torch.zeros(()))  # creates its scale
        with pytest.raises(RuntimeError, match=rf"{type(optimizer).__name__}.step\(\) {where}: evaluate both sides"):
            scaler.step(optimizer)
        if scaled:
            scaler.update()

    where = r"inside plus\(\)"
    with source.plus():
        step()
    where = r"after plus\(\) without minus\(\)"
    step()
    where = r"inside minus\(\)"
    with source.minus():
        step()
    assert all(torch.equal(bits(p), b) for p, b in zip(model.parameters(), before, strict=True))
    set_grads(model)
    STEPPERS[name](model.parameters()).step()
    assert not torch.equal(bits(model[2].weight), before[2])
    assert hooks() == count


def test_steps_that_are_fine():
    """Of other weights, after reset(), after a body that raised, with sides=1, after the noise is gone."""
    model, other = network(), network()
    count = hooks()
    optimizer, unrelated = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (model, other))
    set_grads(model)
    set_grads(other)
    source = SymmetricNoise(model.parameters())
    with source.plus():
        unrelated.step()
    unrelated.step()
    source.reset()
    optimizer.step()
    source.reset()  # there is nothing to drop, and that is fine
    with pytest.raises(BoomError), source.plus():
        raise BoomError
    optimizer.step()
    with source.plus():
        pass
    with pytest.raises(BoomError), source.minus():
        raise BoomError
    optimizer.step()
    one_sided = SymmetricNoise(model.parameters(), sides=1)
    with one_sided.plus():
        pass
    optimizer.step()
    assert hooks() == count
    with source.plus():
        pass
    before = bits(model[0].weight)
    del source
    gc.collect()
    optimizer.step()
    assert not torch.equal(bits(model[0].weight), before)


def test_a_context_that_is_entered_and_dropped_gives_the_weights_back():
    w = weight(3, 4)
    before = bits(w)
    source = SymmetricNoise([w])
    context = source.plus()
    context.__enter__()
    assert not torch.equal(bits(w), before)
    del context
    gc.collect()
    assert torch.equal(bits(w), before)
    offsets(source, [w])


def test_backward_outside_of_the_context_is_refused_by_autograd():
    model = network()
    source = SymmetricNoise(model.parameters())
    with source.plus():
        loss = model(torch.randn(4, 6, dtype=torch.float64)).square().mean()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


BAD = {
    "negative alpha": ({"alpha": -0.1}, "alpha must be a finite number of at least 0, got -0.1"),
    "nan alpha": ({"alpha": float("nan")}, "alpha must be .*, got nan"),
    "infinite alpha": ({"alpha": float("inf")}, "alpha must be .*, got inf"),
    "noise": ({"noise": "uniform"}, "noise must be 'sign' or 'gaussian', got 'uniform'"),
    "per": ({"per": "layer"}, "per must be 'tensor' or 'filter', got 'layer'"),
    "sides": ({"sides": 3}, "sides must be 1 or 2, got 3"),
    "memory": ({"memory": "disk"}, "memory must be 'copy' or 'regenerate', got 'disk'"),
    "alpha as text": ({"alpha": "0.05"}, "alpha must be a finite number of at least 0, got '0.05'"),
    "no alpha": ({"alpha": None}, "alpha must be a finite number of at least 0, got None"),
    "sides as a truth": ({"sides": True}, "sides must be 1 or 2, got True"),
    "seed as a truth": ({"seed": True}, "seed must be an integer, the same on all ranks, got True"),
    "no noise": ({"noise": None}, "noise must be 'sign' or 'gaussian', got None"),
    "seed": ({"seed": 0.5}, "seed must be an integer, the same on all ranks, got 0.5"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    options, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        SymmetricNoise(network().parameters(), **options)
    with pytest.raises(ValueError, match=message):
        SSGD(network().parameters(), lr=0.1, **options)


def test_bad_parameters_are_named():
    for choice in ("plus", "neither"):
        with pytest.raises(ValueError, match=f"batch_norm='{choice}' needs model="):
            SymmetricNoise(network().parameters(), batch_norm=choice)
    with pytest.raises(ValueError, match="batch_norm must be 'both' or 'plus' or 'neither', got 'minus'"):
        SymmetricNoise(network().parameters(), model=network(), batch_norm="minus")
    with pytest.raises(ValueError, match=r"model must be a torch\.nn\.Module, got str"):
        SymmetricNoise(network().parameters(), model="network")
    with pytest.raises(ValueError, match="draws must be an integer, got '3'"):
        SymmetricNoise(network().parameters()).load_state_dict({"seed": 0, "draws": "3"})
    with pytest.raises(ValueError, match="params must not be empty"):
        SymmetricNoise([])
    with pytest.raises(ValueError, match="2 or more dimensions, got none"):
        SymmetricNoise([weight(3), weight()])
    with pytest.raises(ValueError, match=r"params must hold tensors or .* pairs, got str"):
        SymmetricNoise([weight(3, 2), "weight"])
    with pytest.raises(ValueError, match=r"alpha must be .*, got -1"):
        SymmetricNoise([{"params": [weight(3, 2)], "alpha": -1}])
    w = weight(3, 2)
    before, count = bits(w), hooks()
    source = SymmetricNoise([w])
    source.param_groups[0]["alpha"] = float("nan")
    with pytest.raises(ValueError, match="alpha must be"), source.plus():
        pass
    assert torch.equal(bits(w), before)
    assert hooks() == count
    source.param_groups[0]["alpha"] = 0.1
    offsets(source, [w])


# ---- what else lives in a training loop


@pytest.mark.parametrize("raises", [False, True])
@pytest.mark.parametrize("choice", ["both", "plus", "neither"])
def test_batch_norm_statistics(choice, raises):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.Flatten(), nn.Linear(48, 4), nn.BatchNorm1d(4))
    norms = [model[1], model[4]]
    xs = [torch.randn(5, 2, 6, 6) for _ in range(2)]
    source = SymmetricNoise(
        model.named_parameters(), model=None if choice == "both" else model, batch_norm=choice, alpha=0.5
    )
    expected = copy.deepcopy(model)
    clean = copy.deepcopy(model.state_dict())
    for name, x in zip(("plus", "minus"), xs, strict=True):
        outputs = model(x).detach()
        model.load_state_dict(clean)
        try:
            with getattr(source, name)():
                noisy = copy.deepcopy(model)
                noisy.load_state_dict({**noisy.state_dict(), **buffers_of(expected)})
                seen = model(x)
                # The batch's own statistics normalise: each output has mean 0 and variance 1.
                torch.testing.assert_close(seen.mean(0), torch.zeros(4), rtol=0, atol=1e-5)
                torch.testing.assert_close(seen, noisy(x), rtol=1e-5, atol=1e-5)
                assert not torch.allclose(seen, outputs, atol=1e-3)
                if choice == "both" or (choice == "plus" and name == "plus"):
                    expected.load_state_dict({**expected.state_dict(), **buffers_of(noisy)})
                if raises and name == "minus":
                    raise BoomError
        except BoomError:
            pass
        compare = buffers_of(expected)
        assert len(compare) == 6
        for key, value in buffers_of(model).items():
            torch.testing.assert_close(value, compare[key], rtol=1e-6, atol=1e-6)
        clean = {**clean, **buffers_of(model)}
    passes = {"both": 2, "plus": 1, "neither": 0}[choice]
    assert [n.num_batches_tracked.item() for n in norms] == [passes, passes]
    assert (norms[0].running_mean == 0).all() == (passes == 0)
    assert torch.equal(norms[0].running_var, torch.ones(3)) == (passes == 0)


def buffers_of(model):
    return {k: v.clone() for k, v in model.named_buffers()}


@pytest.mark.parametrize("choice", ["plus", "neither"])
def test_statistics_come_back_when_the_body_raises(choice):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    source = SymmetricNoise(model.named_parameters(), model=model, batch_norm=choice)
    before = buffers_of(model)
    with pytest.raises(IndexError), source.plus():
        model(torch.randn(5, 3))[5]
    unchanged = all(torch.equal(v, before[k]) for k, v in buffers_of(model).items())
    assert unchanged == (choice == "neither")


@pytest.mark.parametrize("order", ["autocast outside", "autocast inside"])
def test_autocast_forgets_the_weights_of_the_other_point(order):
    """It keeps the weights it has cast until it ends: not when it lies around the contexts."""
    model, x = network(torch.float32), torch.randn(16, 6)
    source = SymmetricNoise(model.parameters(), alpha=0.5)
    outside = torch.autocast("cpu", torch.bfloat16, enabled=order == "autocast outside")
    seen, exact = [], []
    with outside:
        for context in (contextlib.nullcontext, *contexts(source), contextlib.nullcontext):
            with context():
                with torch.autocast("cpu", torch.bfloat16):
                    seen.append(model(x).float())
                with torch.autocast("cpu", enabled=False):
                    exact.append(model(x))
    for a, b in zip(seen, exact, strict=True):
        torch.testing.assert_close(a, b, rtol=0.05, atol=0.05)
    assert all((a - b).abs().max() > 0.3 for a, b in itertools.pairwise(exact))


@each_memory
def test_a_compiled_model_is_compiled_once(memory):
    from torch._dynamo.testing import CompileCounterWithBackend

    torch._dynamo.reset()
    weights = []
    counter = CompileCounterWithBackend("aot_eager")
    for compiled in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        forward = torch.compile(model, backend=counter) if compiled else model
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
        source = SymmetricNoise(model.named_parameters(), memory=memory, model=model, batch_norm="plus")
        counts = []
        for step in range(5):
            x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step))
            optimizer.zero_grad()
            for context in contexts(source):
                with context():
                    (forward(x).square().mean() / 2).backward()
            optimizer.step()
            schedule.step()
            counts.append(counter.frame_count)
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert counts == [1] * 5
    torch.testing.assert_close(*weights, rtol=1e-5, atol=1e-6)

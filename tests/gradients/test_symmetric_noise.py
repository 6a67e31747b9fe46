"""Symmetric weight noise: the sheet by algebra, weights that come back bit for bit, contexts in order, closures."""

import contextlib
import copy
import gc
import itertools
import math
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.optim import optimizer as torch_optimizer

from steepest import SNGM, SSGD, SymmetricNoise
from steepest.gradients.draws import normal, seeded, signs

NOISES, PERS, MEMORIES = ("sign", "gaussian"), ("tensor", "filter"), ("copy", "regenerate")
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.complex64)
LAWS = list(itertools.product(NOISES, PERS))
every_law = pytest.mark.parametrize(("noise", "per"), LAWS, ids=["-".join(law) for law in LAWS])
each_memory = pytest.mark.parametrize("memory", MEMORIES)
CPU = torch.device("cpu")
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class BoomError(Exception):
    """What the user's code raises."""


def weight(*shape, seed=0, dtype=torch.float64):
    return nn.Parameter(torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype))


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def bits(tensor):
    real = torch.view_as_real(tensor.detach()) if tensor.is_complex() else tensor.detach()
    return real.contiguous().view(INTEGERS[real.element_size()]).clone()


def contexts(noise):
    return [noise.plus, noise.minus][: noise.sides]


def offsets(noise, params):
    """The noise that one pair puts onto each weight, read at plus and at minus."""
    clean = [p.detach().clone() for p in params]
    seen = []
    for context in contexts(noise):
        with context():
            seen.append([p.detach() - w for p, w in zip(params, clean, strict=True)])
    return seen


def hooks():
    return len(torch_optimizer._global_optimizer_pre_hooks)


def magnitudes(w, alpha, per):
    """alpha * rms(w), in the shape of w."""
    dims = tuple(range(1, w.dim())) if per == "filter" else tuple(range(w.dim()))
    return (alpha * w.detach().square().mean(dim=dims, keepdim=True).sqrt()).expand_as(w)


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


# ---- the checks of the sheet


def hessian(size, seed=1):
    a = torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return a @ a.T / size


def quadratic(w, h):
    return w.flatten() @ h @ w.flatten() / 2


def mean_gradient(noise, w, loss):
    w.grad = None
    for context in contexts(noise):
        with context():
            (loss() / noise.sides).backward()
    return w.grad.flatten()


@every_law
def test_quadratic_the_two_points_give_the_exact_gradient_and_inject_no_variance(noise, per):
    w, h = weight(3, 4), hessian(12)
    source = SymmetricNoise([w], alpha=0.3, noise=noise, per=per)
    exact = h @ w.detach().flatten()
    for _ in range(200):
        gradient = mean_gradient(source, w, lambda: quadratic(w, h))
        assert (gradient - exact).norm() <= 1e-12 * exact.norm()


@every_law
def test_quadratic_one_sided_noise_is_unbiased_and_injects_h_cov_h(noise, per):
    w, h = weight(2, 3), hessian(6)
    with torch.no_grad():
        w[1] *= 2
    source = SymmetricNoise([w], alpha=0.3, noise=noise, per=per, sides=1)
    draws = torch.stack([mean_gradient(source, w, lambda: quadratic(w, h)) for _ in range(3000)])
    exact = h @ w.detach().flatten()
    assert ((draws.mean(0) - exact).abs() <= 4 * draws.std(0) / math.sqrt(len(draws))).all()
    products = (draws - exact).unsqueeze(1) * (draws - exact).unsqueeze(2)
    expected = h @ torch.diag(magnitudes(w, 0.3, per).flatten().square()) @ h
    assert ((products.mean(0) - expected).abs() <= 4 * products.std(0) / math.sqrt(len(draws))).all()


@every_law
def test_quadratic_the_mean_loss_adds_half_the_trace_of_h_cov(noise, per):
    w, h = weight(2, 3), hessian(6)
    with torch.no_grad():
        w[1] *= 2
    source = SymmetricNoise([w], alpha=0.3, noise=noise, per=per)
    evaluate = source.closure(lambda: quadratic(w, h).detach())
    losses = torch.stack([evaluate() for _ in range(2000)])
    penalty = (h.diagonal() * magnitudes(w, 0.3, per).flatten().square()).sum() / 2
    error = losses.std() / math.sqrt(len(losses))
    assert abs(losses.mean() - quadratic(w, h).detach() - penalty) <= 4 * error
    assert penalty > 20 * error


@pytest.mark.parametrize("per", PERS)
def test_quartic_gradient_is_exact(per):
    w = weight(4, 5)
    source = SymmetricNoise([w], alpha=0.4, per=per)
    a = magnitudes(w, 0.4, per)
    expected = (4 * w**3 + 12 * w * a**2).detach().flatten()
    for _ in range(20):
        gradient = mean_gradient(source, w, lambda: (w**4).sum())
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-12)


FAR = 1e4


def two_basins(starts, *, a):
    """Where the runs from these starts end, in one go: row i of the weight is ``(w_i, FAR)``.

    The loss depends on the first column alone, and next to FAR the root mean square of the tensor does not, to 1e-7:
    the noise is the absolute +-a. ``a=0`` is SGD. Every 60th batch is an outlier: its gradient is a kick of kinetic
    energy 0.8, left or right by chance, the same with and without weight noise; it lies between the depths of the sharp
    basin at the clean weights (1.05) and at two points (0.53). All other batches have small Gaussian noise. The runs
    stay in [-3, 3], since the loss is flat to both sides. After the last kick they come to rest.
    """
    lr, period, kicks = 0.003, 60, 110
    kick = math.sqrt(2 * 0.8 / lr)
    w = nn.Parameter(torch.stack([starts, torch.full_like(starts, FAR)], dim=1))
    optimizer = torch.optim.SGD([w], lr=lr, momentum=0.92)
    noise = SymmetricNoise([w], alpha=a * math.sqrt(2) / FAR)
    assert magnitudes(w, noise.param_groups[0]["alpha"], "tensor")[0, 0].item() == pytest.approx(a, rel=1e-6)
    w.grad = torch.zeros_like(w)
    generator = torch.Generator().manual_seed(0)
    for step in range(period * (kicks + 3)):
        disturbance = 0.2 * torch.randn(len(starts), generator=generator, dtype=torch.float64)
        flips = torch.randint(2, (len(starts),), generator=generator)
        if step % period == 0 and step < period * kicks:
            disturbance += kick * (2 * flips - 1)
        w.grad[:, 0] = disturbance
        for context in contexts(noise):
            with context(), torch.no_grad():
                x = w[:, 0]
                sharp = 105 * (x + 2) * torch.exp(-50 * (x + 2) ** 2)
                w.grad[:, 0] += (sharp + (x - 2) * torch.exp(-((x - 2) ** 2) / 2)) / 2
        optimizer.step()
        with torch.no_grad():
            w[:, 0].clamp_(-3, 3)
    return w.detach()[:, 0]


def test_of_two_basins_sgd_ends_in_the_sharp_one_and_symmetric_noise_in_the_flat_one():
    """L = -1.05 exp(-((w+2)/.1)^2/2) - exp(-((w-2)/1)^2/2), 100 starts in the sharp basin and 100 anywhere.

    Seen, sharp : flat (the rest lies between): from the sharp basin SGD 100 : 0 and S-SGD 2 : 97, from anywhere SGD
    36 : 64 and S-SGD 0 : 100. With the kicks of three other seeds S-SGD ends flat in 96 to 99 and 98 to 100 runs.
    """
    uniform = torch.rand(200, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    starts = torch.cat([-2.1 + 0.2 * uniform[:100], -3 + 6 * uniform[100:]])
    counts = {}
    for name, a in (("sgd", 0.0), ("s-sgd", 0.15)):
        ends = two_basins(starts, a=a)
        for start, part in (("sharp", ends[:100]), ("anywhere", ends[100:])):
            counts[name, start] = (((part + 2).abs() < 0.5).sum().item(), ((part - 2).abs() < 1).sum().item())
    assert counts["sgd", "sharp"][0] >= 98, counts
    assert counts["s-sgd", "sharp"][1] >= 90, counts
    assert counts["sgd", "anywhere"][0] >= 20, counts
    assert counts["s-sgd", "anywhere"][1] >= 95, counts


# ---- bit for bit


def specials(dtype, size, kind, seed=0):
    """A flat tensor of a kind of values: zeros of both signs and denormals among them, huge ones, or any bits."""
    generator = torch.Generator().manual_seed(seed)
    if dtype.is_complex:
        return torch.view_as_complex(specials(torch.float32, 2 * size, kind, seed).view(-1, 2))
    info = torch.finfo(dtype)
    values = torch.randn(size, generator=generator, dtype=torch.float64)
    if kind == "huge":
        return (values * info.max / 8).clamp(info.min, info.max).to(dtype)
    if kind in ("any bits", "finite bits"):
        integer = INTEGERS[info.bits // 8]
        low, high = torch.iinfo(integer).min, torch.iinfo(integer).max
        values = torch.randint(low, high, (size,), generator=generator, dtype=integer).view(dtype)
        return values if kind == "any bits" else torch.where(values.isfinite(), values, torch.zeros_like(values))
    values = values.to(dtype)
    values[::5] = torch.tensor([0.0, -0.0, info.tiny / 2, -info.tiny / 4, info.eps], dtype=dtype).repeat(size)[
        : len(values[::5])
    ]
    if kind == "infinite":
        values[:3] = torch.tensor([math.inf, -math.inf, info.max], dtype=dtype)[: len(values[:3])]
    return values


KINDS = ("ordinary", "huge", "infinite", "any bits", "finite bits")
LAYOUTS = ("contiguous", "transposed", "strided", "channels_last")


def laid_out(flat, layout):
    w = flat[:120].view(4, 3, 5, 2)
    if layout == "transposed":
        w = w.transpose(0, 2)
    if layout == "channels_last":
        w = w.to(memory_format=torch.channels_last)
    if layout == "strided":
        w = torch.stack([w, torch.full_like(w, 7)], dim=-1)[..., 0]
    assert w.is_contiguous() == (layout == "contiguous")
    return nn.Parameter(w)


@each_memory
@every_law
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_weights_come_back_bit_for_bit(dtype, noise, per, memory):
    for kind, layout in itertools.product(KINDS, LAYOUTS):
        w = laid_out(specials(dtype, 120, kind), layout)
        before = bits(w)
        source = SymmetricNoise([w], alpha=0.1, noise=noise, per=per, memory=memory)
        for _ in range(2):
            for context in contexts(source):
                with context():
                    assert kind != "ordinary" or not torch.equal(bits(w), before)
                assert torch.equal(bits(w), before), (kind, layout)
            with pytest.raises(BoomError), source.plus():
                raise BoomError
            assert torch.equal(bits(w), before), (kind, layout)
            with source.plus():
                pass
            with pytest.raises(BoomError), source.minus():
                raise BoomError
            assert torch.equal(bits(w), before), (kind, layout)


@settings(max_examples=200, deadline=None)
@given(
    shapes=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=3),
    dtype=st.sampled_from(DTYPES),
    kind=st.sampled_from(KINDS),
    law=st.tuples(st.sampled_from(NOISES), st.sampled_from(PERS), st.sampled_from(MEMORIES)),
    alpha=st.sampled_from([0.0, 1e-6, 0.05, 1.0, 1e6]),
    sides=st.sampled_from([1, 2]),
    raises=st.sampled_from([None, "plus", "minus"]),
    seed=st.integers(0, 1000),
)
def test_any_weights_come_back(shapes, dtype, kind, law, alpha, sides, raises, seed):
    params = [nn.Parameter(specials(dtype, math.prod(s), kind, seed).view(s)) for s in [*shapes, (2, 3)]]
    before = [bits(p) for p in params]
    noise, per, memory = law
    source = SymmetricNoise(params, alpha, noise=noise, per=per, memory=memory, sides=sides, seed=seed)
    count = hooks()
    for _ in range(2):
        for name, context in zip(("plus", "minus"), contexts(source), strict=False):
            try:
                with context():
                    if name == raises:
                        raise BoomError
            except BoomError:
                break
            finally:
                assert all(torch.equal(bits(p), b) for p, b in zip(params, before, strict=True))
        assert (source.sign, hooks()) == (0, count)


@every_law
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_both_memory_modes_evaluate_at_the_same_weights(dtype, noise, per):
    for kind, layout in itertools.product(("ordinary", "finite bits"), LAYOUTS):
        seen = []
        for memory in MEMORIES:
            w = laid_out(specials(dtype, 120, kind), layout)
            for context in contexts(SymmetricNoise([w], alpha=0.1, noise=noise, per=per, memory=memory)):
                with context():
                    seen.append(bits(w))
        assert torch.equal(seen[0], seen[2])
        assert torch.equal(seen[1], seen[3])
        assert kind != "ordinary" or not torch.equal(seen[0], seen[1])


def held_bytes():
    """Memory of all tensors that were made since ``gc.freeze()`` and live."""
    tensors = [t for t in gc.get_objects() if issubclass(type(t), torch.Tensor)]
    return sum({s.data_ptr(): s.nbytes() for s in (t.untyped_storage() for t in tensors)}.values())


@pytest.mark.parametrize("alpha", [0.01, 0.05, 0.1])
@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16], ids=str)
def test_what_a_context_keeps(dtype, noise, alpha):
    """A copy, or one byte a weight and less than 1 % of the weights beside it."""
    w = weight(400, 500, dtype=dtype)
    sources = {memory: SymmetricNoise([w], alpha, noise=noise, memory=memory) for memory in MEMORIES}
    gc.freeze()
    try:
        for memory, source in sources.items():
            for context in contexts(source):
                with context():
                    kept = held_bytes() / w.numel()
                entry = 8 + w.element_size()  # the index of a weight, and the weight
                least, most = (w.element_size(),) * 2 if memory == "copy" else (1, 1 + 0.01 * entry)
                assert least <= kept <= most + 1e-3
            assert held_bytes() == 0
    finally:
        gc.unfreeze()


@each_memory
def test_a_state_that_is_loaded_in_the_middle_of_a_pair_does_not_spoil_it(memory):
    w = weight(3, 4)
    before, clean = bits(w), w.detach().clone()
    source = SymmetricNoise([w], memory=memory)
    with source.plus():
        up = w.detach() - clean
        source.load_state_dict({"seed": 7, "draws": 3})
    assert torch.equal(bits(w), before)
    with source.minus():
        torch.testing.assert_close(w.detach() - clean, -up, rtol=0, atol=1e-15)
    assert torch.equal(bits(w), before)
    assert source.state_dict() == {"seed": 7, "draws": 3}


@each_memory
def test_moving_that_fails_half_way_moves_nothing(memory, monkeypatch):
    """As when memory runs out: the second of two buckets cannot be drawn."""
    a, b = weight(3, 4), weight(3, 4, dtype=torch.float32)  # the dtypes are drawn apart
    before = [bits(a), bits(b)]
    source = SymmetricNoise([a, b], memory=memory)
    noises = source._noises
    moved = []

    def failing(pair, members, sign):
        if members == [1] and not moved:
            moved.append(not torch.equal(bits(a), before[0]))
            raise BoomError
        return noises(pair, members, sign)

    monkeypatch.setattr(source, "_noises", failing)
    with pytest.raises(BoomError), source.plus():
        pass
    assert moved == [True]
    assert [torch.equal(bits(w), bit) for w, bit in zip((a, b), before, strict=True)] == [True, True]
    offsets(source, [a, b])


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


# ---- closures

DRIVEN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "sngm": lambda p: SNGM(p, lr=0.05),
}


@pytest.mark.parametrize("sides", [2, 1])
@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("name", DRIVEN)
def test_a_closure_is_the_contexts_by_hand(name, set_to_none, sides):
    runs = []
    for by_hand in (True, False):
        model = network()
        optimizer = DRIVEN[name](model.parameters())
        source = SymmetricNoise(model.named_parameters(), alpha=0.2, sides=sides)
        losses = []
        for step in range(5):
            x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)

            def loss_of(x=x, model=model):
                return model(x).square().mean()

            if by_hand:
                optimizer.zero_grad()
                total = 0
                for context in contexts(source):
                    with context():
                        loss = loss_of() / sides
                        loss.backward()
                        total += loss.item()
                optimizer.step()
            else:

                def closure(loss_of=loss_of, optimizer=optimizer):
                    optimizer.zero_grad(set_to_none=set_to_none)
                    loss = loss_of()
                    loss.backward()
                    return loss

                total = optimizer.step(source.closure(closure)).item()
            losses.append(total)
        runs.append((torch.cat([p.detach().flatten() for p in model.parameters()]), losses))
    torch.testing.assert_close(runs[0][0], runs[1][0], rtol=1e-10, atol=1e-12)
    assert runs[0][1] == pytest.approx(runs[1][1], rel=1e-12)


def test_a_closure_that_zeroes_nothing_adds_the_mean_to_what_was_there():
    w, h = weight(3, 4), hessian(12)
    source = SymmetricNoise([w], alpha=0.3)
    w.grad = torch.full_like(w, 10.0)
    held = w.grad
    source.closure(lambda: quadratic(w, h).backward())()
    torch.testing.assert_close(w.grad.flatten(), 10 + h @ w.detach().flatten(), rtol=1e-12, atol=1e-12)
    assert torch.equal(held, torch.full_like(w, 10.0)) or held is w.grad


@pytest.mark.parametrize("set_to_none", [True, False, None], ids=["none", "zeros", "kept"])
@pytest.mark.parametrize("used_at", [1, -1])
def test_a_parameter_that_is_used_at_one_point_has_half_its_gradient(used_at, set_to_none):
    a, b, c = weight(2, 3), weight(3), weight(3)
    source = SymmetricNoise([a, b, c])
    optimizer = torch.optim.SGD([a, b, c], lr=0.1)
    b.grad = torch.full_like(b, 7.0)
    seen = []

    def closure():
        seen.append(source.sign)
        if set_to_none is not None:
            optimizer.zero_grad(set_to_none=set_to_none)
        loss = a.sum() + (3 * b.sum() if source.sign == used_at else 0)
        loss.backward()
        return loss

    loss = source.closure(closure)()
    assert seen == [1, -1]
    assert source.sign == 0
    torch.testing.assert_close(loss, a.sum() + 1.5 * b.sum())
    torch.testing.assert_close(a.grad, torch.ones_like(a))
    torch.testing.assert_close(b.grad, torch.full_like(b, 1.5 if set_to_none is not None else 8.5))
    assert c.grad is None


def test_gradients_near_overflow_have_a_mean():
    w = weight(2, 2, dtype=torch.float32)
    source = SymmetricNoise([w])
    source.closure(lambda: (3e38 * w).sum().backward())()
    assert torch.equal(w.grad, torch.full_like(w, 3e38))


def test_a_closure_may_return_nothing_and_may_raise():
    w = weight(3, 4)
    before, count = bits(w), hooks()
    source = SymmetricNoise([w])
    assert source.closure(lambda: None)() is None
    for bad in (1, -1):

        def closure(bad=bad):
            if source.sign == bad:
                raise BoomError

        with pytest.raises(BoomError):
            source.closure(closure)()
        assert torch.equal(bits(w), before)
        assert (source.sign, hooks()) == (0, count)
    assert source.closure(lambda: 2.0)() == 2.0


def test_lbfgs_runs():
    w, h = weight(3, 4), hessian(12)
    optimizer = torch.optim.LBFGS([w], lr=0.5, max_iter=8)
    source = SymmetricNoise([w], alpha=0.05)
    start = quadratic(w, h).item()
    calls = []

    def closure():
        calls.append(source.sign)
        optimizer.zero_grad()
        loss = quadratic(w, h)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(source.closure(closure))
    assert quadratic(w, h).item() < 0.1 * start
    assert calls == [1, -1] * (len(calls) // 2)
    assert len(calls) > 8


def test_sparse_gradients():
    gradients = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(6, 4, sparse=sparse), nn.Linear(4, 2)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        source = SymmetricNoise(model.named_parameters(), alpha=0.3)

        def closure(model=model, optimizer=optimizer, source=source):
            optimizer.zero_grad()
            tokens = torch.tensor([1, 2, 2] if source.sign > 0 else [2, 4, 4])
            loss = model(tokens).pow(4).sum()
            loss.backward()
            return loss

        optimizer.step(source.closure(closure))
        assert model[0].weight.grad.is_sparse == sparse
        gradients.append(model[0].weight.grad.to_dense())
        gradients.append(model[0].weight.detach())
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[1], gradients[3], rtol=1e-12, atol=1e-12)
    assert (gradients[0][[1, 2, 4]] != 0).all()

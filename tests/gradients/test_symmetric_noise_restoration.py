"""Weights that come back bit for bit, and what that costs."""

import gc
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steepest import SymmetricNoise
from tests.gradients.noisy import (
    DTYPES,
    INTEGERS,
    MEMORIES,
    NOISES,
    PERS,
    BoomError,
    bits,
    contexts,
    each_memory,
    every_law,
    hooks,
    offsets,
    weight,
)

# Most contexts here have no backward().
pytestmark = pytest.mark.filterwarnings("ignore:none of the weights that SymmetricNoise moved")


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

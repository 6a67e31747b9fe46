"""The kernel of :mod:`steepest.optim.cuda`; importing this module needs Triton."""

import triton
import triton.language as tl

BLOCK = 2048

__all__ = ["BLOCK", "step_kernel", "tl"]


@triton.jit
def step_kernel(
    addresses,  # of all p, then all g, then all m
    count,
    which,
    starts,
    sizes,
    blocks,
    scales,  # of the blocks, and which of them stay
    missed,
    grad_factor,
    lr_pointer,
    numbers,  # lr, momentum, weight decay, sign; by pointer, since Triton would round them to float32
    DTYPE: tl.constexpr,
    WIDE: tl.constexpr,
    WITH_MOMENTUM: tl.constexpr,
    DECAY: tl.constexpr,  # 0: none, 1: after the scaling, 2: before it, 3: decoupled
    BLOCK: tl.constexpr,
):
    """``m = momentum * m + d; p = p - lr * m`` on one block of one tensor, as ``step.scaled_step`` says."""
    program = tl.program_id(0)
    i = tl.load(which + program)
    block = tl.load(blocks + i)
    if tl.load(missed + block) == 0:
        offsets = tl.load(starts + program) + tl.arange(0, BLOCK)
        mask = offsets < tl.load(sizes + i)
        p_pointers = tl.load(addresses + i).to(tl.pointer_type(DTYPE)) + offsets
        g_pointers = tl.load(addresses + count + i).to(tl.pointer_type(DTYPE)) + offsets
        p = tl.load(p_pointers, mask=mask).to(WIDE)
        d = tl.load(g_pointers, mask=mask).to(WIDE) * (tl.load(grad_factor) * tl.load(numbers + 3))
        lr = tl.load(lr_pointer)
        momentum = tl.load(numbers + 1)
        weight_decay = tl.load(numbers + 2)
        if DECAY == 2:
            d += weight_decay * p
        d *= tl.load(scales + block)
        if DECAY == 1:
            d += weight_decay * p
        if DECAY == 3:
            p *= 1 - lr * weight_decay
        if WITH_MOMENTUM:
            m_pointers = tl.load(addresses + 2 * count + i).to(tl.pointer_type(DTYPE)) + offsets
            d += momentum * tl.load(m_pointers, mask=mask).to(WIDE)
            tl.store(m_pointers, d.to(DTYPE), mask=mask)
        tl.store(p_pointers, (p - lr * d).to(DTYPE), mask=mask)

"""State dicts to write and read."""

import tempfile
from pathlib import Path

import torch
from hypothesis import strategies as st

from steepest.compression.format.file import load_compressed

FLOATS = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
OTHERS = (
    torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64,
    torch.bool, torch.complex64, torch.complex128,
    torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e8m0fnu,
)  # fmt: skip
SHAPES = ((), (0,), (3, 0, 2), (1,), (7,), (5, 9), (20, 1, 5, 5), (40, 50), (3000,))
SPECIAL = (0.0, -0.0, float("nan"), -float("nan"), float("inf"), -float("inf"), 1e-45, 1.5)


def make_tensor(seed, dtype, shape, law, sparsity):
    """A tensor by a law of its values."""
    generator = torch.Generator().manual_seed(seed)
    if dtype not in FLOATS:
        raw = torch.randint(0, 2 if dtype == torch.bool else 256, (*shape, dtype.itemsize), generator=generator)
        return raw.to(torch.uint8).view(dtype).view(shape)
    values = torch.randn(shape, generator=generator, dtype=torch.float64)
    kept = torch.rand(shape, generator=generator) >= sparsity
    if law == "ternary":
        values = values.sign() * 0.37
    elif law == "special":
        values = torch.tensor(SPECIAL, dtype=torch.float64)[torch.randint(0, len(SPECIAL), shape, generator=generator)]
    elif law == "nan":
        values = values.sign() * float("nan")
    made = torch.where(kept, values, 0.0).to(dtype)
    return made.t() if made.dim() == 2 and seed % 2 else made  # non-contiguous


@st.composite
def states(draw, most=6):
    """A state dict with names of any signs, and perhaps a tied tensor and a view."""
    names = draw(st.lists(st.text(max_size=8), max_size=most, unique=True))
    state = {}
    for name in names:
        state[name] = make_tensor(
            draw(st.integers(0, 2**20)),
            draw(st.sampled_from(FLOATS * 4 + OTHERS)),
            draw(st.sampled_from(SHAPES)),
            draw(st.sampled_from(("ternary", "normal", "special", "nan"))),
            draw(st.sampled_from((0.0, 0.5, 0.93, 0.999, 1.0))),
        )
    if names and draw(st.booleans()):
        state["tied"] = state[names[0]]
        if state[names[-1]].dim():
            state["view"] = state[names[-1]][::2]
    return state


def bits_of(tensor):
    flat = tensor.reshape(-1).clone(memory_format=torch.contiguous_format)  # of stride 1, if it has one entry too
    return flat.view(torch.uint8)


def assert_same(found, state):
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(bits_of(found[name]), bits_of(tensor.detach())), name


SMALL = {
    "ternary": make_tensor(0, torch.float32, (20, 30), "ternary", 0.93),
    "half": make_tensor(1, torch.float32, (20, 30), "ternary", 0.5),
    "sparse": make_tensor(2, torch.bfloat16, (500,), "normal", 0.8),
    "few": make_tensor(2, torch.float64, (500,), "normal", 0.97),
    "dense": torch.arange(5),
    "bool": torch.tensor([True, False]),
}


def loaded(content):
    """The tensors of a file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.stcn"
        path.write_bytes(content)
        return load_compressed(path)

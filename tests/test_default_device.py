"""Every tensor that the library makes says its device and dtype: torch's defaults may be another's."""

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

import steepest
from steepest import INSGD, LARS, SNGM, SSGD, BlockNormalizedSGD, track_input_power
from steepest.data import digits, text
from steepest.optim import ScaledSGD

SOURCE = Path(steepest.__file__).parent
FOLDERS = ("optim", "gradients", "diagnostics", "theory", "causal", "compression", "spiking", "formulas")
MAKERS = {
    "tensor", "as_tensor", "zeros", "ones", "full", "empty", "rand", "randn", "randint", "randperm", "arange",
    "linspace", "logspace", "eye", "scalar_tensor", "empty_strided",
}  # fmt: skip
ALWAYS_INTEGERS = {"randint", "randperm", "arange"}


def calls_without(path):
    """Calls of torch's makers of tensors that leave the device, or the dtype of floats, to the defaults."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MAKERS):
            continue
        if not (isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"):
            continue
        given = {keyword.arg for keyword in node.keywords}
        wanted = {"device"} if node.func.attr in ALWAYS_INTEGERS else {"device", "dtype"}
        if missing := wanted - given:
            yield f"{path.name}:{node.lineno}: torch.{node.func.attr} without {' and '.join(sorted(missing))}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_maker_of_a_tensor_is_told_device_and_dtype(folder):
    found = [text for path in sorted((SOURCE / folder).rglob("*.py")) for text in calls_without(path)]
    assert not found, "\n".join(found)


def test_the_search_finds_what_it_looks_for(tmp_path):
    (tmp_path / "a.py").write_text("import torch\ntorch.zeros(3)\ntorch.tensor(1, device='cpu')\ntorch.arange(2)\n")
    assert len(list(calls_without(tmp_path / "a.py"))) == 3


PATHS = {"default": {}, "foreach": {"foreach": True}, "loop": {"foreach": False}, "nesterov": {"nesterov": True}}
CLASSES = (
    (ScaledSGD, {}), (SNGM, {}), (SNGM, {"weight_decay": 0.1, "normalize_decay": True}), (LARS, {"weight_decay": 0.1}),
    (BlockNormalizedSGD, {}), (BlockNormalizedSGD, {"ratio": 0.02}), (SSGD, {}), (INSGD, {}),
)  # fmt: skip


def trained(make, options, dtype, scaled):
    with torch.device("cpu"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8, dtype=dtype), nn.Tanh(), nn.Linear(8, 2, dtype=dtype))
        batch = torch.ones(2, 4, dtype=dtype)
        scale, found_inf = torch.tensor(4.0, dtype=torch.float32), torch.tensor(0.0, dtype=torch.float32)
    if make is INSGD:
        track_input_power(model)
    optimizer = make(model.named_parameters(), lr=0.1, **options)
    for _ in range(2):
        optimizer.zero_grad()
        model(batch).square().sum().backward()
        if scaled:
            optimizer.grad_scale, optimizer.found_inf = scale, found_inf
        optimizer.step()
    assert optimizer.nonfinite_steps == 0
    return [*model.parameters(), *(t for s in optimizer.state.values() for t in s.values())]


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(("make", "options"), CLASSES, ids=lambda value: getattr(value, "__name__", str(value)))
@pytest.mark.parametrize("scaled", [False, True])
def test_a_step_is_the_same_whatever_the_defaults_are(make, options, path, scaled):
    for dtype in (torch.float32, torch.bfloat16):
        expected = trained(make, {**options, **path}, dtype, scaled)
        device, float_dtype = torch.get_default_device(), torch.get_default_dtype()
        try:
            torch.set_default_device("meta")
            torch.set_default_dtype(torch.bfloat16)
            got = trained(make, {**options, **path}, dtype, scaled)
        finally:
            torch.set_default_device(None if device.type == "cpu" else device)
            torch.set_default_dtype(float_dtype)
        assert all(p.dtype == q.dtype and torch.equal(p, q) for p, q in zip(got, expected, strict=True))


def test_data_lie_on_the_cpu_whatever_the_default_is(tmp_path):
    (tmp_path / "text").write_text("abcdef " * 2000)
    expected = digits(), text(tmp_path / "text")
    device = torch.get_default_device()
    try:
        torch.set_default_device("meta")
        got = digits(), text(tmp_path / "text")
    finally:
        torch.set_default_device(None if device.type == "cpu" else device)
    for ours, theirs in zip(got, expected, strict=True):
        assert all(torch.equal(a.inputs, b.inputs) for a, b in zip(ours, theirs, strict=True))

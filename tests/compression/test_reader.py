"""The reader of examples/read_compressed.py: what it reads is what was saved."""

import ast
import subprocess
import sys
import tempfile
from pathlib import Path
from runpy import run_path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from steepest.compression.format.file import save_compressed
from tests.compression.states import bits_of, states
from tests.markdown import ROOT

EXAMPLE = ROOT / "examples" / "read_compressed.py"
read = run_path(str(EXAMPLE))["read"]


@settings(deadline=None, max_examples=60)
@given(states())
def test_it_reads_every_state_dict_bit_for_bit(state):
    with tempfile.TemporaryDirectory() as folder:
        save_compressed(state, f"{folder}/a.stcn")
        found = read(f"{folder}/a.stcn")
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].shape == tuple(tensor.shape)
        assert found[name].tobytes() == bits_of(tensor).numpy().tobytes()


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.float32, np.float32), (torch.float64, np.float64), (torch.float16, np.float16),
        (torch.bfloat16, np.uint16),
        (torch.int64, np.int64), (torch.uint8, np.uint8), (torch.bool, np.bool_), (torch.complex128, np.complex128),
    ],
)  # fmt: skip
def test_arrays_have_the_dtype_of_their_tensors(tmp_path, dtype, expected):
    save_compressed({"a": torch.ones(100, dtype=dtype)}, tmp_path / "a.stcn")
    assert read(tmp_path / "a.stcn")["a"].dtype == expected


def test_a_damaged_file_is_refused(tmp_path):
    path = tmp_path / "a.stcn"
    save_compressed({"a": torch.ones(100)}, path)
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read(path)


def test_it_prints_what_a_file_holds(tmp_path):
    save_compressed(torch.nn.Linear(3, 2), tmp_path / "a.stcn")
    command = [sys.executable, str(EXAMPLE), str(tmp_path / "a.stcn")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout == "weight float32 (2, 3)\nbias float32 (2,)\n"


def test_it_imports_numpy_and_the_standard_library_alone_in_60_lines():
    text = Path(EXAMPLE).read_text()
    nodes = list(ast.walk(ast.parse(text)))
    imported = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} - set(sys.stdlib_module_names) == {"numpy"}
    assert len(text.splitlines()) <= 60

"""The file of a compressed network: bit for bit what was saved, small, and the same bytes each time."""

import lzma
import math
import re

import pytest
import safetensors.torch
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steepest._errors import InputError, MissingExtraError
from steepest.compression.format.file import inspect, load_compressed, save_compressed
from steepest.compression.format.planes import join_bytes, pack_bits, pack_gaps, split_bytes, unpack_bits, unpack_gaps
from steepest.compression.format.reading import HEAD
from steepest.compression.format.report import bound_bits
from steepest.compression.format.table import MOST
from steepest.compression.format.writing import format_file
from tests.compression.states import FLOATS, SMALL, assert_same, loaded, make_tensor, states
from tests.markdown import ROOT

EXAMPLE = {"weight": torch.tensor([[0.5, *[0.0] * 99, -0.5]]), "step": torch.tensor(7)}


@settings(deadline=None, max_examples=100)
@given(states())
def test_every_state_dict_comes_back_bit_for_bit_in_its_order(state):
    assert_same(loaded(format_file(state)), state)


@settings(deadline=None, max_examples=20)
@given(states(3))
def test_the_same_tensors_give_the_same_bytes(state):
    again = {name: tensor.clone() for name, tensor in state.items()}
    assert format_file(again) == format_file(state)


@settings(deadline=None)
@given(st.sets(st.integers(0, 3000)))
def test_gaps_and_bits_are_unpacked_to_what_was_packed(positions):
    positions = torch.tensor(sorted(positions), dtype=torch.int64)
    bits = torch.zeros(3001, dtype=torch.bool)
    bits[positions] = True
    assert torch.equal(unpack_gaps(pack_gaps(positions)), positions)
    assert torch.equal(unpack_bits(pack_bits(bits), 3001), bits)
    assert torch.equal(join_bytes(split_bytes(positions), 8), positions)


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_model_of_every_dtype_loads_strictly_and_computes_the_same(tmp_path, dtype):
    def made():
        return (
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8 * 36, 10)).to(dtype).eval()
        )

    model, other = made(), made()
    with torch.no_grad():
        model[0].weight.copy_(make_tensor(0, dtype, (8, 3, 3, 3), "ternary", 0.9))
        model[3].weight.mul_(make_tensor(2, torch.float32, (10, 8 * 36), "ternary", 0.9).ne(0))
    size = save_compressed(model, tmp_path / "a.stcn")
    assert size == (tmp_path / "a.stcn").stat().st_size
    other.load_state_dict(load_compressed(tmp_path / "a.stcn"), strict=True)
    batch = torch.randn(2, 3, 8, 8, dtype=dtype)
    assert torch.equal(model(batch), other(batch))


def test_kinds_follow_from_the_bits_of_the_values(tmp_path):
    minus_zero = torch.full((200,), -0.0)
    half = torch.cat([torch.zeros(100), minus_zero[:100]])
    state = {
        **SMALL,
        "zeros": torch.zeros(2**20),
        "minus zeros": minus_zero,
        "both zeros": half,
        "all three": torch.cat([half, torch.ones(100)]),
        "infinite": torch.tensor([math.inf, 0.0, -math.inf]).repeat(100),
        "one": torch.ones(()),
        "normal": torch.randn(100),
    }
    save_compressed(state, tmp_path / "a.stcn")
    report = {tensor.name: tensor for tensor in inspect(tmp_path / "a.stcn").tensors}
    assert {name: tensor.kind for name, tensor in report.items()} == {
        "ternary": "ternary", "half": "ternary", "sparse": "sparse", "few": "sparse", "dense": "dense", "bool": "dense",
        "zeros": "ternary", "minus zeros": "ternary", "both zeros": "ternary", "all three": "sparse",
        "infinite": "ternary", "one": "dense", "normal": "dense",
    }  # fmt: skip
    assert report["zeros"].sigma == report["zeros"].nonzeros == report["zeros"].bound_bits == 0
    assert report["both zeros"].nonzeros == 100
    assert report["infinite"].sigma == math.inf
    assert_same(load_compressed(tmp_path / "a.stcn"), state)


def test_what_is_there_twice_is_written_once(tmp_path):
    state = {"a": torch.randn(1000), "b": torch.zeros(1000)}
    state |= {"tied": state["a"], "equal": state["a"].clone(), "other shape": state["a"].view(10, 100)}
    save_compressed(state, tmp_path / "a.stcn")
    report = inspect(tmp_path / "a.stcn")
    assert [tensor.copy_of for tensor in report.tensors] == [None, None, "a", "a", None]
    assert report.dense_bytes == 3 * 4000
    found = load_compressed(tmp_path / "a.stcn")
    found["tied"].zero_()
    assert torch.equal(found["a"], state["a"])


def test_a_random_ternary_layer_comes_within_six_percent_of_the_bound(tmp_path):
    for sparsity in (0.5, 0.8, 0.9, 0.95):
        layer = make_tensor(0, torch.float32, (500, 500), "ternary", sparsity)
        size = save_compressed({"weight": layer}, tmp_path / "a.stcn")
        (tensor,) = inspect(tmp_path / "a.stcn").tensors
        assert tensor.bound_bits == pytest.approx(250_000 * bound_bits(tensor.sparsity))
        assert tensor.bound_bits / 8 < size < 1.06 * tensor.bound_bits / 8


@pytest.mark.parametrize("sparsity", [-0.1, 1.1, math.nan])
def test_a_bound_is_told_of_possible_sparsities_only(sparsity):
    assert bound_bits(0) == 1
    assert bound_bits(1) == 0
    with pytest.raises(ValueError, match=r"sparsity must be in \[0, 1\]"):
        bound_bits(sparsity)


def test_a_report_tells_where_everything_stands(tmp_path):
    save_compressed(SMALL, tmp_path / "a.stcn")
    report = inspect(tmp_path / "a.stcn")
    content = (tmp_path / "a.stcn").read_bytes()
    payload = lzma.decompress(content[HEAD.size :])
    planes = sorted((plane.offset, plane.bytes) for tensor in report.tensors for plane in tensor.planes)
    ends = [begin + count for begin, count in planes]
    assert planes[0][0] == report.table_bytes
    assert ends[-1] == report.payload_bytes == len(payload)
    assert all(begin >= end for end, (begin, _) in zip(ends, planes[1:], strict=False))
    assert report.file_bytes == len(content)
    assert report.sha256 == content[16:48].hex()
    assert report.dense_bytes == sum(tensor.nbytes for tensor in SMALL.values())
    dense = report.tensors[4].planes[0]
    assert payload[dense.offset : dense.offset + dense.bytes] == SMALL["dense"].numpy().tobytes()
    ternary = report.tensors[0]
    assert [plane.section for plane in ternary.planes] == ["gaps", "signs"]
    assert ternary.sigma == pytest.approx(0.37)
    assert ternary.sparsity == 1 - ternary.nonzeros / 600
    lines = str(report).splitlines()
    assert lines[0].split() == ["tensor", "dtype", "shape", "kind", "nonzeros", "sparsity", "sigma", "planes", "bound"]
    assert lines[1].split()[:5] == ["ternary", "float32", "20x30", "ternary", str(ternary.nonzeros)]
    assert len(lines) == len(SMALL) + 3


def test_the_dense_part_is_a_safetensors_file(tmp_path):
    save_compressed({"a": torch.arange(3), "b": torch.tensor([1j])}, tmp_path / "a.stcn")
    report = inspect(tmp_path / "a.stcn")
    payload = lzma.decompress((tmp_path / "a.stcn").read_bytes()[HEAD.size :])
    found = safetensors.torch.load(payload[report.table_bytes :])
    assert torch.equal(found["0"], torch.arange(3))
    assert torch.equal(found["1"], torch.tensor([1j]))


class Extra(nn.Linear):
    def get_extra_state(self):
        return {"a": 1}


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"a": 1.0}, TypeError, "got float at 'a'"),
        ({1: torch.ones(2)}, TypeError, "strings for names"),
        ({"a": torch.ones(2, 2).to_sparse()}, TypeError, "'a' must be a dense tensor"),
        ({"a": torch.empty(2, dtype=torch.bits8)}, TypeError, "'a' must be"),
        ({"a": torch.ones(2, device="meta")}, ValueError, "'a' must have values"),
        (Extra(2, 2), TypeError, "_extra_state"),
        ({"a" * MOST: torch.ones(2)}, ValueError, "table takes"),
    ],
)
def test_what_the_format_does_not_have_is_refused_by_name(tmp_path, given, error, words):
    (tmp_path / "a.stcn").write_bytes(b"old")
    with pytest.raises(error, match=words):
        save_compressed(given, tmp_path / "a.stcn")
    assert (tmp_path / "a.stcn").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    for path in (tmp_path, tmp_path / "none" / "a.stcn"):
        with pytest.raises(InputError, match=str(path)):
            save_compressed({"a": torch.ones(2)}, path)
    assert tmp_path.is_dir()


def test_without_safetensors_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"steepest\[compression\]"):
        save_compressed({"a": torch.arange(2)}, tmp_path / "a.stcn")
    save_compressed({"a": torch.zeros(200)}, tmp_path / "a.stcn")
    assert_same(load_compressed(tmp_path / "a.stcn"), {"a": torch.zeros(200)})


def test_the_example_of_the_page_is_such_a_file():
    page = (ROOT / "docs" / "compression-format.md").read_text()
    file, payload = re.findall(r"^```text\n(00000000  .*?)\n```", page, re.DOTALL | re.MULTILINE)[:2]
    content, expected = (bytes.fromhex("".join(line[8:58] for line in dump.splitlines())) for dump in (file, payload))
    assert lzma.decompress(content[HEAD.size :]) == expected
    assert_same(loaded(content), EXAMPLE)

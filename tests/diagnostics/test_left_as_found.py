"""Every instrument: it leaves models, data and random numbers as they were, even after an error; bad input."""

import gc
import math
import os
import sys
import weakref
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, TensorDataset

from steepest.diagnostics import (
    gradient_covariance,
    gradient_noise_scale,
    hessian_density,
    hessian_eigenvalues,
    hessian_trace,
    inner_product_test,
    norm_test,
)
from tests.diagnostics.problems import Restless, dense_fisher, dense_function, dense_ggn, mlp, same, samples, state_of

LOSS = nn.CrossEntropyLoss()
INSTRUMENTS = {
    "eigenvalues": partial(hessian_eigenvalues, k=2, iterations=6),
    "ggn": partial(hessian_eigenvalues, k=2, iterations=6, matrix="ggn"),
    "fisher": partial(hessian_eigenvalues, k=2, iterations=6, matrix="fisher"),
    "trace": partial(hessian_trace, products=6),
    "density": partial(hessian_density, probes=2, iterations=3),
    "noise": gradient_noise_scale,
    "covariance": partial(gradient_covariance, top=2, hessian_products=4),
    "norm": partial(norm_test, batch_size=8),
    "inner product": partial(inner_product_test, batch_size=8),
}
each = pytest.mark.parametrize("instrument", INSTRUMENTS.values(), ids=list(INSTRUMENTS))


def plain(found):
    """Without the seconds."""
    return list(found[:-1])


def equal(a, b):
    return all(
        torch.equal(x, y) if isinstance(x, torch.Tensor) else x == y or (x != x and y != y)
        for x, y in zip(plain(a), plain(b), strict=True)
    )


@each
def test_batch_norm_and_dropout_are_in_evaluation_mode_and_nothing_is_touched(instrument):
    model = mlp(nn.BatchNorm1d(6), nn.Dropout(0.5))
    inputs, targets = samples()
    for _ in range(3):
        LOSS(model(inputs), targets).backward()
    model[2].eval()
    model[4].bias.grad = None
    seen = []
    model[0].weight.register_hook(lambda grad: seen.append(1))
    model[0].weight.register_post_accumulate_grad_hook(lambda p: seen.append(2))
    before = state_of(model)
    runs = [instrument(model, LOSS, [(inputs, targets)]) for _ in range(2)]
    assert same(state_of(model), before)
    assert before["modes"] == [True, True, True, False, True, True]
    assert equal(*runs)
    assert seen == []
    assert len(model[0].weight._backward_hooks) == 1
    model.eval()
    assert equal(instrument(model, LOSS, [(inputs, targets)]), runs[0])


@each
@pytest.mark.parametrize("fails", [0, 1, 3])
def test_a_restless_model_is_left_as_it_was_even_after_an_error(instrument, fails):
    model, calls = mlp(Restless()), []

    def loss_fn(outputs, targets):
        calls.append(1)
        if fails and len(calls) >= fails:
            raise KeyError("from the loss")
        return nn.functional.cross_entropy(outputs, targets)

    model[0].training = False
    before = {k: v for k, v in state_of(model).items() if k != "tensors"}
    buffers = [(id(b), b.clone()) for b in model.buffers()]
    loader = DataLoader(TensorDataset(*samples()), 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    order = loader.generator.get_state()
    if fails:
        with pytest.raises(KeyError, match="from the loss"):
            instrument(model, loss_fn, loader)
    else:
        found = instrument(model, nn.functional.cross_entropy, loader)
        assert equal(found, instrument(model, nn.functional.cross_entropy, loader))
    assert same({k: v for k, v in state_of(model).items() if k != "tensors"}, before)
    assert same([(id(b), b) for b in model.buffers()], buffers)
    assert torch.equal(loader.generator.get_state(), order)
    assert not any(torch._C._functorch.is_functorch_wrapped_tensor(t) for t in (*model.buffers(), *model.parameters()))


@each
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(instrument, mode):
    loader = DataLoader(TensorDataset(*samples()), batch_size=20)
    expected = instrument(mlp(), LOSS, loader)
    model = mlp()
    with mode():
        found = instrument(model, LOSS, loader)
    assert equal(found, expected)


@each
def test_autocast_around_it_changes_nothing(instrument):
    data = [samples(dtype=torch.float32)]
    expected = instrument(mlp().float(), LOSS, data)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = instrument(mlp().float(), LOSS, data)
    assert equal(found, expected)


@each
def test_a_compiled_model_is_looked_at_as_it_was_before(instrument):
    model, data = mlp(), [samples()]
    expected = instrument(model, LOSS, data)
    assert equal(instrument(torch.compile(model, backend="aot_eager"), LOSS, data), expected)


class Recurrent(nn.Module):
    """Which vmap cannot differentiate, in batches of sequences."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.lstm = nn.LSTM(2, 3, batch_first=True)
        self.head = nn.Linear(3, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


class Encoder(nn.Module):
    """A transformer's layer, with a mask that is no sample's."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.TransformerEncoderLayer(4, 2, 5, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.layer(x).mean(dim=1))


@each
@pytest.mark.parametrize("kind", [Recurrent, Encoder])
def test_networks_of_sequences(instrument, kind):
    model = kind().double()
    inputs = torch.randn(8, 5, 2 if kind is Recurrent else 4, dtype=torch.float64)
    data = [(inputs, torch.arange(8) % 3)]
    before = state_of(model)
    found = instrument(model, LOSS, data)
    assert found.samples == 8
    assert equal(instrument(model, LOSS, data), found)
    assert same(state_of(model), before)


@pytest.mark.parametrize(
    ("kind", "matrix"), [(Recurrent, "fisher"), (Encoder, "fisher"), (Encoder, "hessian"), (Encoder, "ggn")]
)
def test_networks_of_sequences_against_their_dense_matrix(kind, matrix):
    model = kind().double()
    inputs = torch.randn(6, 5, 2 if kind is Recurrent else 4, dtype=torch.float64)
    targets = torch.arange(6) % 3
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        if matrix == "hessian":  # torch.func.hessian of attention is not even symmetric
            dense = torch.autograd.functional.hessian(*dense_function(model, LOSS, inputs, targets))
        else:
            dense = {"fisher": dense_fisher, "ggn": dense_ggn}[matrix](model, LOSS, inputs, targets)
    expected = torch.linalg.eigvalsh(dense.detach()).flip(0)[:2]
    found = hessian_eigenvalues(model, LOSS, [(inputs, targets)], 2, matrix=matrix, tolerance=1e-6)
    torch.testing.assert_close(found.eigenvalues, expected, rtol=1e-4, atol=0)


@pytest.fixture(scope="module")
def language():
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=2, bos_token_id=0, eos_token_id=0
    )
    return transformers.GPT2LMHeadModel(config)


@each
def test_a_transformer_of_hugging_face_with_dicts(instrument, language):
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(0, 11, (8, 6), generator=generator)
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    before = state_of(language)

    def loss_fn(outputs, targets):
        return nn.functional.cross_entropy(outputs.logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())

    found = instrument(language, loss_fn, [(inputs, ids)])
    assert found.samples == 8
    assert same(state_of(language), before)
    batch = inputs | {"labels": ids}
    if instrument is INSTRUMENTS["ggn"]:
        with pytest.raises(RuntimeError, match="the loss is linear in what the model returns"):
            instrument(language, lambda outputs, _: outputs.loss, [batch])
        return
    inside = instrument(language, lambda outputs, _: outputs.loss, [batch])
    for a, b in zip(plain(found), plain(inside), strict=True):
        if isinstance(a, float):
            assert math.isclose(a, b, rel_tol=1e-2, abs_tol=1e-4) or (a != a and b != b)


BAD = {
    "no module": ((mlp, LOSS, [samples()]), TypeError, "model must be a torch.nn.Module, got function"),
    "frozen": ((mlp().requires_grad_(False), LOSS, [samples()]), ValueError, "model must have a parameter with requ"),
    "no function": ((mlp(), "loss", [samples()]), TypeError, "loss_fn must be a function .*, got 'loss'"),
    "generator": (
        (mlp(), LOSS, iter([samples()])),
        TypeError,
        "data must be iterable several times, got list_iterator",
    ),
    "data set": ((mlp(), LOSS, TensorDataset(*samples())), TypeError, "data must give batches, got TensorDataset"),
    "number": ((mlp(), LOSS, 3), TypeError, "data must be a list of batches or a DataLoader, got int"),
    "empty": ((mlp(), LOSS, []), ValueError, "data must hold at least one sample, got none"),
    "one batch": ((mlp(), LOSS, samples(2)), TypeError, r"one batch alone is \[\(inputs, targets\)\]"),
    "loss (n,)": (
        (mlp(), nn.CrossEntropyLoss(reduction="none"), [samples()]),
        ValueError,
        r"loss_fn must return one number, the mean over the batch, as a tensor, got shape",
    ),
    "number as loss": (
        (mlp(), lambda o, t: 1.0, [samples()]),
        ValueError,
        "loss_fn must return one number, .* got float",
    ),
    "loss not finite": (
        (mlp(), lambda o, t: o.square().mean() * math.inf, [samples()]),
        RuntimeError,
        "must be finite, got",
    ),
    "detached": (
        (mlp(), lambda o, t: o.detach().mean(), [samples()]),
        RuntimeError,
        "not depend on any trainable param",
    ),
}


class Tuples(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = mlp()

    def forward(self, x):
        return self.inner(x), None


class Integers(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.ones(3, dtype=torch.int64), requires_grad=False)

    def forward(self, x):
        return x


BAD["tuple"] = (
    (Tuples(), LOSS, [samples()]),
    TypeError,
    "loss_fn must take what the model returns, a tuple, and raised",
)
BAD["integers"] = ((Integers(), LOSS, [samples()]), ValueError, "got none in Integers")


@each
@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused_in_a_sentence(instrument, name):
    arguments, error, sentence = BAD[name]
    with pytest.raises(error, match=sentence) as caught:
        instrument(*arguments)
    assert "\n" not in str(caught.value)


@each
@pytest.mark.parametrize(
    ("params", "error", "sentence"),
    [
        ("layer1.*", ValueError, "params must choose a trainable parameter .* got 'layer1"),
        ([], ValueError, r"params must choose a trainable parameter .* got \[\]"),
        (3, TypeError, "params must be patterns of names or a function of name and parameter, got 3"),
        ([1], TypeError, r"params must be patterns of names or a function of name and parameter, got \[1\]"),
    ],
)
def test_a_filter_that_chooses_nothing_is_refused(instrument, params, error, sentence):
    with pytest.raises(error, match=sentence):
        instrument(mlp(), LOSS, [samples()], params=params)


@pytest.mark.parametrize(
    ("call", "error", "sentence"),
    [
        (partial(hessian_eigenvalues, k=0), ValueError, "k must be at least 1, got 0"),
        (partial(hessian_eigenvalues, k=1.0), TypeError, "k must be an int, got 1.0"),
        (
            partial(hessian_eigenvalues, matrix="foo"),
            ValueError,
            "matrix must be one of 'hessian', 'ggn', 'fisher', got",
        ),
        (partial(hessian_eigenvalues, which="top"), ValueError, "which must be one of 'largest', .* got 'top'"),
        (partial(hessian_eigenvalues, tolerance=2), ValueError, r"tolerance must be in \(0, 1\), got 2"),
        (partial(hessian_trace, matrix=None), ValueError, "matrix must be one of .* got None"),
        (
            partial(hessian_trace, method="hutch"),
            ValueError,
            r"method must be one of 'hutch\+\+', 'hutchinson', got 'hu",
        ),
        (partial(hessian_trace, products=5), ValueError, "products must be at least 6, got 5"),
        (partial(hessian_trace, products=1, method="hutchinson"), ValueError, "products must be at least 2, got 1"),
        (partial(hessian_density, probes=1), ValueError, "probes must be at least 2, got 1"),
        (partial(hessian_density, iterations=0), ValueError, "iterations must be at least 1, got 0"),
        (partial(norm_test, batch_size=0), ValueError, "batch_size must be at least 1, got 0"),
        (partial(norm_test, batch_size=4, theta=0), ValueError, r"theta must be in \(0, inf\), got 0"),
        (partial(inner_product_test, batch_size=4, theta="x"), TypeError, "theta must be a float, got 'x'"),
    ],
)
def test_bad_arguments_are_refused(call, error, sentence):
    with pytest.raises(error, match=sentence):
        call(mlp(), LOSS, [samples()])


@pytest.mark.parametrize("name", ["eigenvalues", "trace", "density", "covariance"])
def test_a_loss_without_a_second_derivative_is_refused(name):
    def loss_fn(outputs, targets):
        return (outputs - outputs.detach()).pow(1.5).mean()  # 0, with the gradient 0

    with pytest.raises(RuntimeError, match="not smooth"):
        INSTRUMENTS[name](mlp(), loss_fn, [samples()])


@each
def test_data_that_change_are_refused_where_there_is_a_second_pass(instrument):
    class Growing(list):
        def __iter__(self):
            self.append(samples(4))
            return super().__iter__()

    if INSTRUMENTS["noise"] is instrument or instrument is INSTRUMENTS["norm"]:
        assert instrument(mlp(), LOSS, Growing([samples()])).passes == 1
        return
    with pytest.raises(RuntimeError, match=r"the loss over data changed from .* without random augmentation"):
        instrument(mlp(), LOSS, Growing([samples()]))


@each
@pytest.mark.slow
def test_nothing_stays_in_memory(instrument):
    model, data = mlp(), [samples(8)]

    def tensors():
        return sum(isinstance(thing, torch.Tensor) for thing in gc.get_objects())

    for _ in range(2):
        instrument(model, LOSS, data)
    gc.collect()
    before = tensors()
    gc.disable()
    try:
        for _ in range(3):
            instrument(model, LOSS, data)
        assert tensors() - before <= 2
        reference = weakref.ref(model)
        del model
        assert reference() is None
    finally:
        gc.enable()


def resident():
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@each
def test_two_hundred_calls_take_no_more_memory_than_a_few(instrument):
    model, data = mlp(nn.BatchNorm1d(6).double()), [samples()]
    for _ in range(30):
        instrument(model, LOSS, data)
    gc.collect()
    before = resident()
    for _ in range(200):
        instrument(model, LOSS, data)
    gc.collect()
    assert resident() - before < 4 * 2**20


def test_one_rank_is_a_process(tmp_path):
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        found = gradient_noise_scale(DistributedDataParallel(mlp()), LOSS, [samples()])
    finally:
        torch.distributed.destroy_process_group()
    assert equal(found, gradient_noise_scale(mlp(), LOSS, [samples()]))

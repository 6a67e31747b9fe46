"""Block normalisation in front of torch's optimizers: against our own that takes it in one step, and by algebra."""

import copy

import pytest
import torch
from torch import nn

from steepest import SNGM, BlockNormalizedSGD, calibrate, normalize_gradients

ANY_OPTIMIZER = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "sgd-fused": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01, fused=True),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=0.01),
}


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def train(model, optimizer, steps=20, layer_scale=1.0):
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(16, 6, generator=generator, dtype=torch.float64).to(next(model.parameters()).dtype)
        model(x).square().mean().backward()
        for p in model[0].parameters():
            p.grad.mul_(layer_scale)
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("ratio", [None, 0.02])
@pytest.mark.parametrize("over", ["layer", "tensor"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_in_front_of_sgd_it_is_block_normalized_sgd_bit_for_bit(over, ratio, dtype):
    wrapped, ours = network(dtype), network(dtype)
    sgd = torch.optim.SGD(wrapped.named_parameters(), lr=0.1, momentum=0.9, weight_decay=0.01, foreach=False)
    normalize_gradients(sgd, over=over, ratio=ratio)
    params = ours.named_parameters() if over == "layer" else ours.parameters()
    optimizer = BlockNormalizedSGD(params, lr=0.1, weight_decay=0.01, ratio=ratio, fused=False, foreach=False)
    assert torch.equal(train(wrapped, sgd), train(ours, optimizer))


def test_over_all_in_front_of_sgd_it_is_sngm_bit_for_bit():
    wrapped, ours = network(), network()
    sgd = torch.optim.SGD(wrapped.parameters(), lr=0.1, momentum=0.9, foreach=False)
    normalize_gradients(sgd, over="all")
    assert torch.equal(train(wrapped, sgd), train(ours, SNGM(ours.parameters(), lr=0.1, fused=False, foreach=False)))


@pytest.mark.parametrize("name", ANY_OPTIMIZER)
@pytest.mark.parametrize("ratio", [None, 0.02])
def test_one_layers_gradient_times_a_million_changes_nothing(name, ratio):
    runs = []
    for layer_scale in (1.0, 1e6):
        model = network()
        optimizer = ANY_OPTIMIZER[name](model.named_parameters())
        normalize_gradients(optimizer, ratio=ratio)
        runs.append(train(model, optimizer, layer_scale=layer_scale))
    torch.testing.assert_close(runs[0], runs[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("name", ANY_OPTIMIZER)
def test_the_state_is_the_optimizers_own_and_removal_leaves_no_trace(name):
    plain, wrapped = network(), network()
    bare, hooked = (ANY_OPTIMIZER[name](m.named_parameters()) for m in (plain, wrapped))
    handle = normalize_gradients(hooked)
    assert hooked.state_dict().keys() == bare.state_dict().keys()
    train(wrapped, hooked, steps=3)
    train(plain, bare, steps=3)
    assert {k: s.keys() for k, s in hooked.state_dict()["state"].items()} == {
        k: s.keys() for k, s in bare.state_dict()["state"].items()
    }
    handle.remove()
    wrapped.load_state_dict(plain.state_dict())
    hooked.load_state_dict(copy.deepcopy(bare.state_dict()))
    assert torch.equal(train(wrapped, hooked, steps=3), train(plain, bare, steps=3))


@pytest.mark.parametrize("fused", [False, True])
def test_under_a_grad_scaler(fused):
    """A fused optimizer unscales by itself, any other is unscaled before: the step is the same."""
    straight, scaled = network(torch.float32), network(torch.float32)
    runs = []
    for model, scaler in ((straight, None), (scaled, torch.amp.GradScaler("cpu", init_scale=1024.0))):
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9, fused=fused)
        normalize_gradients(optimizer)
        for i in range(4):
            optimizer.zero_grad()
            torch.manual_seed(i)
            loss = model(torch.randn(16, 6)).square().mean()
            if scaler is None:
                loss.backward()
                optimizer.step()
            else:
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
        runs.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    torch.testing.assert_close(runs[0], runs[1], rtol=1e-5, atol=1e-6)


def test_a_gradient_that_is_not_finite_is_zeroed_and_counted():
    model = network()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    handle = normalize_gradients(optimizer)
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    model[0].bias.grad[0] = float("nan")
    optimizer.step()
    assert torch.equal(torch.cat([p.detach().flatten() for p in model.parameters()]), before)
    assert handle.nonfinite_steps == 1
    assert all((p.grad == 0).all() for p in model.parameters())
    train(model, optimizer, steps=2)
    assert handle.nonfinite_steps == 1


def test_zero_gradients_and_missing_gradients():
    model = network()
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
    handle = normalize_gradients(optimizer, ratio=0.02)
    optimizer.step()  # no gradient anywhere
    before = torch.cat([p.detach().flatten() for p in model.parameters()])
    model[0].weight.grad = torch.zeros_like(model[0].weight)
    optimizer.step()
    assert torch.equal(torch.cat([p.detach().flatten() for p in model.parameters()]), before)
    assert handle.nonfinite_steps == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_are_normed_in_float32(dtype):
    p = nn.Parameter(torch.ones(1000, dtype=dtype))
    p.grad = torch.full((1000,), 100.0, dtype=dtype)  # the squares overflow float16
    optimizer = torch.optim.SGD([p], lr=0.0)
    normalize_gradients(optimizer, over="tensor")
    optimizer.step()
    assert p.grad.float().norm().item() == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"over": "layers"}, "over must be 'layer', 'tensor' or 'all', got 'layers'"),
        ({"ratio": 0.0}, "ratio must be None or a finite number above 0, got 0.0"),
        ({"ratio": float("nan")}, "ratio must be"),
        ({"ratio": "0.02"}, "ratio must be None or a finite number above 0, got '0.02'"),
        ({"ratio": True}, "ratio must be None or a finite number above 0, got True"),
        ({"over": None}, "over must be 'layer', 'tensor' or 'all', got None"),
        ({}, "over='layer' needs parameters with names"),
    ],
)
def test_bad_arguments_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        normalize_gradients(torch.optim.SGD(network().parameters(), lr=0.1), **options)


@pytest.mark.parametrize("how", ["positional", "keyword"])
def test_the_gradients_of_a_closure_are_normalized(how):
    models = network(), network()
    for model, with_closure in zip(models, (True, False), strict=True):
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        normalize_gradients(optimizer)

        def closure(model=model, optimizer=optimizer):
            optimizer.zero_grad()
            loss = 1e3 * sum(p.square().sum() for p in model.parameters())
            loss.backward()
            return loss

        if with_closure:
            loss = optimizer.step(closure) if how == "positional" else optimizer.step(closure=closure)
            assert loss.item() > 0
        else:
            closure()
            optimizer.step()
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(p, q)


def test_sparse_gradients_are_refused():
    table = nn.Embedding(4, 2, sparse=True)
    sparse = torch.optim.SGD(table.named_parameters(), lr=0.1)
    normalize_gradients(sparse)
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        sparse.step()


ALIASES = {
    "expanded": lambda model: torch.ones(1, 1).expand(8, 6),
    "the weight itself": lambda model: model[0].weight.detach(),
    "another gradient's memory": lambda model: model[2].weight.grad.flatten()[:1].expand(8, 6),
    "a row of another gradient": lambda model: model[2].weight.grad.view(-1)[None, :6].expand(8, 6),
}
ACTS = {
    **{over: lambda m, o, over=over: normalize_gradients(o, over=over) for over in ("tensor", "layer", "all")},
    **{name: lambda m, o, name=name: calibrate(m, name) for name in ("bernoulli", "lipschitz", "learned")},
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("alias", ALIASES)
def test_a_gradient_that_shares_memory_counts_as_one_of_its_own(act, alias):
    def run(shares):
        model = network(torch.float32)
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        handle = ACTS[act](model, optimizer)
        for _ in range(2):
            model[2].weight.grad = torch.arange(32.0).view(4, 8)
            grad = ALIASES[alias](model)
            model[0].weight.grad = grad if shares else grad.clone()
            optimizer.step()
        handle.remove()
        return list(model.parameters())

    torch.testing.assert_close(run(True), run(False))

"""What every optimizer of the family promises (the contracts), whatever its scale."""

import copy
import io
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD

FAMILY = {
    "scaled": (ScaledSGD, {"lr": 0.1}),
    "sngm": (SNGM, {"lr": 0.1}),
    "sngm-decay": (SNGM, {"lr": 0.1, "weight_decay": 0.1, "normalize_decay": True}),
    "bng": (BlockNormalizedSGD, {"lr": 0.1}),
    "bng-ratio": (BlockNormalizedSGD, {"lr": 0.1, "ratio": 0.02}),
    "lars": (LARS, {"lr": 1.0}),
    "lars-decay": (LARS, {"lr": 1.0, "weight_decay": 0.1}),
}
NORMALISED = [name for name in FAMILY if name != "scaled"]
everyone = pytest.mark.parametrize("name", FAMILY)
normalised = pytest.mark.parametrize("name", NORMALISED)


def build(name, params, **overrides):
    optimizer_class, options = FAMILY[name]
    return optimizer_class(params, **{**options, **overrides})


def layer(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    return nn.Linear(4, 3).to(dtype)


def set_grads(model, value=None):
    for p in model.parameters():
        p.grad = torch.randn_like(p) if value is None else torch.full_like(p, value)


def snapshot(model):
    return [p.detach().clone() for p in model.parameters()]


def unchanged(model, before):
    return all(torch.equal(p, q) for p, q in zip(model.parameters(), before, strict=True))


@everyone
@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("lr", [0.0, 0.1])
def test_zero_gradients_do_not_move_and_stay_finite(name, named, lr):
    model = layer()
    optimizer = build(name, model.named_parameters() if named else model.parameters(), lr=lr, weight_decay=0.0)
    before = snapshot(model)
    set_grads(model, 0.0)
    optimizer.step(closure=None)
    assert unchanged(model, before)
    assert all(torch.isfinite(s["momentum_buffer"]).all() for s in optimizer.state.values())
    assert optimizer.nonfinite_steps == 0


@everyone
def test_lr_zero_never_moves(name):
    """How torch.distributed.checkpoint builds optimizer state; weight decay is in the way on purpose."""
    model = layer()
    optimizer = build(name, model.named_parameters(), lr=0.0, weight_decay=0.1)
    before = snapshot(model)
    for value in (0.0, 1.0, None):
        set_grads(model, value)
        optimizer.step(closure=None)
    assert unchanged(model, before)


@everyone
def test_a_parameter_without_gradient_is_left_alone_and_has_no_state(name):
    model, frozen = layer(), nn.Parameter(torch.ones(3))
    optimizer = build(name, [*model.named_parameters(), ("frozen.weight", frozen)], weight_decay=0.1)
    set_grads(model)
    before = snapshot(model)
    optimizer.step()
    assert torch.equal(frozen, torch.ones(3))
    assert frozen not in optimizer.state
    assert not unchanged(model, before)


@everyone
def test_no_gradient_anywhere_is_no_step(name):
    model = layer()
    before = snapshot(model)
    assert build(name, model.parameters()).step() is None
    assert unchanged(model, before)


@everyone
@pytest.mark.parametrize("named", [True, False])
def test_an_empty_tensor_changes_nothing_for_the_others(name, named):
    models = [layer(), layer()]
    for i, model in enumerate(models):
        torch.manual_seed(5)
        set_grads(model)
        empty = nn.Parameter(torch.empty(0, 4))
        empty.grad = torch.empty(0, 4)
        params = list(model.named_parameters()) + ([("empty.weight", empty)] if i else [])
        build(name, params if named else [p for _, p in params]).step()
    assert unchanged(models[0], snapshot(models[1]))


@everyone
@pytest.mark.parametrize("named", [True, False])
def test_a_bias_block_at_zero_moves_and_stays_finite(name, named):
    model = layer()
    nn.init.zeros_(model.bias)
    optimizer = build(name, model.named_parameters() if named else model.parameters())
    set_grads(model, 1.0)
    optimizer.step()
    assert torch.isfinite(model.bias).all()
    assert (model.bias != 0).all()  # a zero block must not be stuck: the unit form, or a scale of 1, moves it


def test_an_all_zero_block_takes_the_unit_form():
    bias = nn.Parameter(torch.zeros(4))
    bias.grad = torch.full((4,), 3.0)
    BlockNormalizedSGD([bias], lr=0.5, ratio=0.02).step()
    assert bias.detach().norm().item() == pytest.approx(0.5)


@normalised
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_a_nonfinite_gradient_leaves_weights_and_momentum_and_is_counted(name, bad, steps_before):
    model = layer()
    optimizer = build(name, model.named_parameters())
    for _ in range(steps_before):
        set_grads(model)
        optimizer.step()
    before = snapshot(model)
    buffers = [s["momentum_buffer"].clone() for s in optimizer.state.values()]
    set_grads(model)
    model.weight.grad[1, 2] = bad
    optimizer.step()
    assert unchanged(model, before)
    assert optimizer.nonfinite_steps == 1
    for s, b in zip(optimizer.state.values(), buffers, strict=False):
        assert torch.equal(s["momentum_buffer"], b)
    set_grads(model)
    optimizer.step()
    assert not unchanged(model, before)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert optimizer.nonfinite_steps == 1


@everyone
def test_grad_scaler_contract(name):
    """grad_scale divides the gradient, found_inf skips the step, and neither changes `.grad`."""
    plain, scaled = layer(dtype=torch.float64), layer(dtype=torch.float64)
    set_grads(plain)
    for p, q in zip(plain.parameters(), scaled.parameters(), strict=True):
        q.grad = p.grad * 1024
    a, b = build(name, plain.named_parameters()), build(name, scaled.named_parameters())
    b.grad_scale, b.found_inf = torch.tensor(1024.0), torch.tensor(0.0)
    a.step()
    b.step()
    for p, q in zip(plain.parameters(), scaled.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-12, atol=0)
        assert torch.equal(q.grad, p.grad * 1024)
    before = snapshot(scaled)
    b.found_inf = torch.tensor(1.0)
    b.step()
    assert unchanged(scaled, before)


@everyone
def test_a_real_grad_scaler_drives_it(name):
    model = layer()
    optimizer = build(name, model.named_parameters())
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0, growth_interval=100)
    before = snapshot(model)
    scaler.scale(model(torch.full((2, 4), 3e38)).sum()).backward()  # overflows
    scaler.step(optimizer)
    scaler.update()
    assert unchanged(model, before)
    assert scaler.get_scale() == 4.0
    optimizer.zero_grad()
    scaler.scale(model(torch.ones(2, 4)).sum()).backward()
    scaler.step(optimizer)
    assert not unchanged(model, before)


@everyone
def test_resume_in_the_middle_is_bit_exact(name):
    def run(resume):
        model = layer()
        optimizer = build(name, model.named_parameters(), weight_decay=0.01)
        for i in range(6):
            if i == 3 and resume:
                file = io.BytesIO()
                torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
                file.seek(0)
                state = torch.load(file, weights_only=True)
                model = nn.Linear(4, 3)
                model.load_state_dict(state["model"])
                optimizer = build(name, model.named_parameters())
                optimizer.load_state_dict(state["optimizer"])
            torch.manual_seed(i)
            set_grads(model)
            if i == 1 and name != "scaled":  # which measures no norm that could be NaN
                model.bias.grad[0] = float("nan")
            optimizer.step()
        return snapshot(model), optimizer.nonfinite_steps

    straight, resumed = run(False), run(True)
    assert straight[1] == resumed[1] == (0 if name == "scaled" else 1)
    for p, q in zip(straight[0], resumed[0], strict=True):
        assert torch.equal(p, q)


@everyone
def test_a_torch_sgd_state_loads(name):
    model = layer()
    sgd = torch.optim.SGD(model.named_parameters(), lr=0.3, momentum=0.8)
    set_grads(model)
    sgd.step()
    optimizer = build(name, model.named_parameters())
    optimizer.load_state_dict(sgd.state_dict())
    assert optimizer.param_groups[0]["momentum"] == 0.8
    assert torch.equal(optimizer.state[model.weight]["momentum_buffer"], sgd.state[model.weight]["momentum_buffer"])
    optimizer.step()
    assert all(torch.isfinite(p).all() for p in model.parameters())


@everyone
def test_torch_sgd_takes_its_state(name):
    model = layer()
    optimizer = build(name, model.named_parameters(), momentum=0.8)
    set_grads(model)
    optimizer.step()
    sgd = torch.optim.SGD(model.named_parameters(), lr=0.3)
    sgd.load_state_dict(optimizer.state_dict())
    assert torch.equal(sgd.state[model.weight]["momentum_buffer"], optimizer.state[model.weight]["momentum_buffer"])
    before = snapshot(model)
    sgd.step()
    assert not unchanged(model, before)
    assert sgd.param_groups[0]["momentum"] == 0.8


@everyone
def test_a_state_with_dampening_is_refused(name):
    model = layer()
    state = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.8, dampening=0.5).state_dict()
    with pytest.raises(ValueError, match=r"dampening must be 0, got 0\.5"):
        build(name, model.parameters()).load_state_dict(state)


OTHERS = ("AdamW", "RMSprop", "Adagrad", "Adadelta", "Adafactor", "Rprop", "ASGD", "NAdam")


@everyone
@pytest.mark.parametrize("other", OTHERS)
def test_a_state_of_another_optimizer_is_refused_and_changes_nothing(name, other):
    model = layer()
    theirs = getattr(torch.optim, other)(model.named_parameters(), lr=0.3)
    set_grads(model)
    theirs.step()
    optimizer = build(name, model.named_parameters())
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"neither torch\.optim\.SGD's, .* nor one of this family"):
        optimizer.load_state_dict(theirs.state_dict())
    assert optimizer.state_dict() == before


@everyone
def test_pickle_and_deepcopy(name):
    model = layer()
    optimizer = build(name, model.named_parameters())
    set_grads(model)
    optimizer.step()
    for copied in (pickle.loads(pickle.dumps(optimizer)), copy.deepcopy(optimizer)):
        assert copied.nonfinite_steps == 0
        copied.step()


@everyone
def test_closure_is_called_with_gradients_enabled(name):
    model = layer()
    optimizer = build(name, model.parameters())

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 4)).square().sum()
        loss.backward()
        return loss

    before = snapshot(model)
    with torch.no_grad():
        loss = optimizer.step(closure)
    assert loss.item() > 0
    assert not unchanged(model, before)


@everyone
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("path", [{"fused": False}, {"foreach": True}, {"fused": True}], ids=str)
def test_half_precision_of_a_tiny_gradient(name, dtype, path):
    """1 / ||g|| is 1e5 here, beyond float16: the scale must not be rounded to the weights' dtype."""
    model = layer(dtype=dtype)
    exact = layer(dtype=dtype).to(torch.float64)
    for p, q in zip(model.parameters(), exact.parameters(), strict=True):
        p.grad = torch.full_like(p, 2e-6)
        q.grad = p.grad.to(torch.float64)
    build(name, model.named_parameters(), **path).step()
    build(name, exact.named_parameters()).step()
    for p, q in zip(model.parameters(), exact.parameters(), strict=True):
        torch.testing.assert_close(p, q.to(dtype), rtol=torch.finfo(dtype).eps, atol=0)


@everyone
def test_complex_parameters(name):
    p = nn.Parameter(torch.tensor([3 + 4j, 1j], dtype=torch.complex128))
    p.grad = torch.tensor([1 - 1j, 2 + 0j], dtype=torch.complex128)
    r = nn.Parameter(torch.view_as_real(p.detach()).clone())
    r.grad = torch.view_as_real(p.grad).clone()
    build(name, [p]).step()
    build(name, [r]).step()
    torch.testing.assert_close(torch.view_as_real(p.detach()), r.detach(), rtol=1e-14, atol=0)


@everyone
def test_lr_as_a_tensor(name):
    a, b = layer(dtype=torch.float64), layer(dtype=torch.float64)
    torch.manual_seed(2)
    set_grads(a)
    torch.manual_seed(2)
    set_grads(b)
    build(name, a.parameters(), lr=0.25, weight_decay=0.1).step()
    build(name, b.parameters(), lr=torch.tensor(0.25), weight_decay=0.1).step()
    torch.testing.assert_close(snapshot(a), snapshot(b), rtol=1e-14, atol=0)


@everyone
def test_sparse_gradient_is_refused(name):
    table = nn.Embedding(4, 2, sparse=True)
    optimizer = build(name, table.parameters())
    table(torch.tensor([1])).sum().backward()
    with pytest.raises(RuntimeError, match="does not support sparse gradients"):
        optimizer.step()


BAD = [
    ({"lr": -1.0}, "lr must be a finite number of at least 0, got -1.0"),
    ({"lr": float("nan")}, "lr must be"),
    ({"lr": float("inf")}, "lr must be"),
    ({"lr": torch.ones(2)}, r"lr must be .* shape \(2,\)"),
    ({"momentum": 1.0}, r"momentum must be in \[0, 1\), got 1.0"),
    ({"momentum": -0.1}, "momentum must be"),
    ({"weight_decay": -1e-4}, "weight_decay must be a finite number of at least 0, got -0.0001"),
    ({"weight_decay": float("nan")}, "weight_decay must be"),
    ({"nesterov": True, "momentum": 0.0}, "nesterov=True needs momentum > 0"),
]


@everyone
@pytest.mark.parametrize(("options", "message"), BAD, ids=str)
def test_bad_arguments_are_named(name, options, message):
    with pytest.raises(ValueError, match=message):
        build(name, layer().parameters(), **options)
    optimizer = build(name, [nn.Parameter(torch.ones(1))])
    with pytest.raises(ValueError, match=message):
        optimizer.add_param_group({"params": list(layer().parameters()), **options})
    assert len(optimizer.param_groups) == 1


@pytest.mark.parametrize(
    ("optimizer_class", "options", "message"),
    [
        (BlockNormalizedSGD, {"ratio": 0.0}, "ratio must be None or a finite number above 0, got 0.0"),
        (BlockNormalizedSGD, {"ratio": -1.0}, "ratio must be"),
        (LARS, {"trust": 0.0}, "trust must be a finite number above 0, got 0.0"),
        (SNGM, {"normalize_decay": True, "decoupled_weight_decay": True}, "decay enters in one place only"),
    ],
)
def test_bad_method_arguments_are_named(optimizer_class, options, message):
    with pytest.raises(ValueError, match=message):
        optimizer_class(layer().parameters(), lr=0.1, **options)


shapes = st.lists(st.lists(st.integers(0, 4), min_size=0, max_size=3).map(tuple), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(
    shapes=shapes,
    name=st.sampled_from(NORMALISED),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    groups=st.integers(1, 3),
    zeros=st.booleans(),
    seed=st.integers(0, 10),
)
def test_any_shapes_any_groups_stay_finite_and_bounded(shapes, name, dtype, groups, zeros, seed):
    torch.manual_seed(seed)
    params = [nn.Parameter(torch.zeros(s, dtype=dtype) if zeros else torch.randn(s, dtype=dtype)) for s in shapes]
    optimizer = build(name, [{"params": params[i::groups]} for i in range(groups) if params[i::groups]], lr=0.1)
    for _ in range(3):
        for p in params:
            p.grad = torch.randn_like(p) * 1e3
        before = [p.detach().clone() for p in params]
        optimizer.step()
        moved = torch.stack([(p.detach() - b).double().norm() for p, b in zip(params, before, strict=True)])
        assert torch.isfinite(moved).all()
        if name == "sngm":
            assert moved.norm() <= 0.1 / (1 - 0.9) * 1.02


@everyone
@pytest.mark.parametrize("flatten", [False, True])
def test_distributed_checkpoint_state_round_trip(name, flatten):
    """It builds missing state by a step with zero gradients and lr = 0, which must leave the weights bit-equal."""
    from torch.distributed.checkpoint import state_dict as dcp

    options = dcp.StateDictOptions(flatten_optimizer_state_dict=flatten)

    def train(model, optimizer, seeds):
        for seed in seeds:
            torch.manual_seed(seed)
            set_grads(model)
            optimizer.step()

    straight = layer()
    optimizer = build(name, straight.named_parameters(), weight_decay=0.01)
    train(straight, optimizer, range(3))
    saved = copy.deepcopy(dcp.get_optimizer_state_dict(straight, optimizer, options=options))  # it aliases the state
    train(straight, optimizer, range(3, 6))

    resumed = layer()
    train(resumed, build(name, resumed.named_parameters(), weight_decay=0.01), range(3))
    fresh = build(name, resumed.named_parameters(), weight_decay=0.01)
    before = snapshot(resumed)
    for p in resumed.parameters():
        p.grad = None
    dcp.set_optimizer_state_dict(resumed, fresh, saved, options=options)
    assert unchanged(resumed, before)
    train(resumed, fresh, range(3, 6))
    assert unchanged(resumed, snapshot(straight))

"""The penalties: against slow float64 loops, at strength 0, and what they refuse."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from steepest.spiking.continual import CostPerSynapse, ElasticWeightConsolidation, OutputBlocks, SynapticIntelligence

LR = 0.1


def quadratic(seed, size=5):
    """A curvature and a minimum for each task: the gradient is a * (w - b)."""
    generator = torch.Generator().manual_seed(seed)
    a = torch.rand(3, size, generator=generator, dtype=torch.float64) + 0.1
    return a, torch.randn(3, size, generator=generator, dtype=torch.float64)


def new_weight(size=5):
    return nn.Parameter(torch.linspace(-1, 1, size, dtype=torch.float64))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    strength=st.floats(0, 1e4),
    zeta=st.floats(1e-4, 1.0),
    samples=st.integers(1, 50),
    epochs=st.booleans(),
)
def test_cost_per_synapse_is_the_textbook_loop(seed, strength, zeta, samples, epochs):
    a, b = quadratic(seed)
    w = new_weight()
    optimizer, penalty = torch.optim.SGD([w], lr=LR), CostPerSynapse([w], strength, zeta)
    slow, size = w.detach().tolist(), len(w)
    omega, star = [0.0] * size, list(slow)
    for task in range(3):
        for epoch in range(2):
            if epochs:
                penalty.begin_epoch()
            if epochs or epoch == 0:
                start, cost = list(slow), [0.0] * size
            for _ in range(3):
                w.grad = a[task] * (w.detach() - b[task])
                optimizer.step()
                penalty.step()
                for i in range(size):
                    g = float(a[task, i]) * (slow[i] - float(b[task, i]))
                    cost[i] += (LR * g) ** 2
                    slow[i] = slow[i] - (LR * g + omega[i] * (slow[i] - star[i]))
        penalty.end_task(samples)
        for i in range(size):
            omega[i] = min(1.0, omega[i] + strength / samples * cost[i] / ((slow[i] - start[i]) ** 2 + zeta))
        star = list(slow)
        assert penalty.omega["0"].tolist() == pytest.approx(omega, rel=1e-9, abs=1e-12)
        assert ((penalty.omega["0"] >= 0) & (penalty.omega["0"] <= 1)).all()
        assert w.tolist() == pytest.approx(slow, rel=1e-9, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), strength=st.floats(0, 2.0), xi=st.floats(1e-2, 1.0))
def test_synaptic_intelligence_is_the_textbook_loop(seed, strength, xi):
    a, b = quadratic(seed)
    w = new_weight()
    optimizer, penalty = torch.optim.SGD([w], lr=LR), SynapticIntelligence([w], strength, xi)
    slow, size = w.detach().tolist(), len(w)
    omega, star = [0.0] * size, list(slow)
    for task in range(3):
        gain = [0.0] * size
        for _ in range(4):
            w.grad = a[task] * (w.detach() - b[task])
            penalty.add_gradient()
            optimizer.step()
            penalty.step()
            for i in range(size):
                g = float(a[task, i]) * (slow[i] - float(b[task, i]))
                move = -LR * (g + 2 * strength * omega[i] * (slow[i] - star[i]))
                gain[i] -= g * move
                slow[i] += move
        penalty.end_task()
        for i in range(size):
            omega[i] += max(0.0, gain[i]) / ((slow[i] - star[i]) ** 2 + xi)
        star = list(slow)
        assert penalty.omega["0"].tolist() == pytest.approx(omega, rel=1e-7, abs=1e-10)
        assert (penalty.omega["0"] >= 0).all()
        assert w.tolist() == pytest.approx(slow, rel=1e-7, abs=1e-10)


def test_a_gain_below_zero_holds_nothing():
    w = nn.Parameter(torch.tensor([1.0, 1.0]))
    penalty = SynapticIntelligence([w], 1.0)
    w.grad = torch.tensor([1.0, 1.0])
    penalty.add_gradient()
    with torch.no_grad():
        w.add_(torch.tensor([0.5, -0.5]))  # the first one uphill
    penalty.step()
    penalty.end_task()
    assert penalty.omega["0"][0] == 0
    assert penalty.omega["0"][1] > 0


def test_the_fisher_is_the_mean_of_squared_gradients_at_drawn_labels():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    inputs = torch.randn(7, 3, dtype=torch.float64)
    penalty = ElasticWeightConsolidation(model.named_parameters(), 2.0)
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    labels = []
    for task in range(2):
        penalty.end_task(model, inputs, torch.Generator().manual_seed(task))
        with torch.no_grad():
            drawn = torch.multinomial(model(inputs).softmax(1), 1, generator=torch.Generator().manual_seed(task))
        labels += drawn.flatten().tolist()
        for x, y in zip(inputs, drawn.flatten().tolist(), strict=True):
            model.zero_grad()
            nn.functional.nll_loss(model(x[None]).log_softmax(1), torch.tensor([y])).backward()
            for name, p in model.named_parameters():
                total[name] += p.grad**2 / 7
        model.zero_grad()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.3)
    for name, expected in total.items():
        assert torch.allclose(penalty.omega[name], expected, rtol=1e-10)
    assert len(set(labels)) > 1  # drawn, and not the largest each time
    penalty.add_gradient()
    for name, p in model.named_parameters():
        assert torch.allclose(p.grad, 2.0 * total[name] * 0.3, rtol=1e-10)


def test_the_fisher_leaves_gradients_and_global_random_numbers_alone():
    model = nn.Linear(2, 3)
    before = torch.get_rng_state()
    ElasticWeightConsolidation(model.named_parameters(), 1.0).end_task(model, torch.randn(3, 2), torch.Generator())
    assert all(p.grad is None for p in model.parameters())
    torch.set_rng_state(before)
    torch.randn(3, 2)
    expected = torch.rand(1)
    torch.set_rng_state(before)
    ElasticWeightConsolidation(model.named_parameters(), 1.0).end_task(model, torch.randn(3, 2), torch.Generator())
    assert torch.equal(torch.rand(1), expected)


def test_labels_are_drawn_from_the_block_that_is_trained():
    layer = OutputBlocks(2, [(0, 1), (2, 3)])
    layer.set_task(1)
    penalty = ElasticWeightConsolidation(layer.named_parameters(), 1.0)
    penalty.end_task(layer, torch.randn(9, 2))
    assert all((penalty.omega[name][:2] == 0).all() for name in ("weight", "bias"))
    assert torch.isfinite(penalty.omega["weight"]).all()
    assert (penalty.omega["weight"][2:] > 0).any()


def train(penalty_of, strength, optimizer_of, tasks=3):
    """Weights after some tasks of noisy gradients, one of them -0.0 all along."""
    generator = torch.Generator().manual_seed(3)
    w = nn.Parameter(torch.randn(6, generator=generator))
    v = nn.Parameter(-torch.zeros(2))
    optimizer = optimizer_of([w, v])
    penalty = None if penalty_of is None else penalty_of([("w", w), ("v", v)], strength)
    for _ in range(tasks):
        for _ in range(5):
            w.grad, v.grad = torch.randn(6, generator=generator), torch.zeros(2)
            if hasattr(penalty, "add_gradient"):
                penalty.add_gradient()
            optimizer.step()
            if hasattr(penalty, "step"):
                penalty.step()
        if isinstance(penalty, ElasticWeightConsolidation):
            penalty.end_task(lambda x: x @ w.reshape(2, 3), torch.eye(2), torch.Generator().manual_seed(0))
        elif penalty is not None:
            penalty.end_task()
    return torch.cat([w.detach(), v.detach()]), penalty


OPTIMIZERS = [
    lambda params: torch.optim.SGD(params, lr=0.1),
    lambda params: torch.optim.SGD(params, lr=0.1, momentum=0.9, weight_decay=0.1),
    lambda params: torch.optim.Adam(params, lr=0.01),
]
PENALTIES = [CostPerSynapse, ElasticWeightConsolidation, SynapticIntelligence]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_at_strength_0_it_is_the_optimizer_bit_for_bit_and_else_it_is_not(penalty, optimizer):
    alone, _ = train(None, 0.0, optimizer)
    nothing, _ = train(penalty, 0.0, optimizer)
    assert torch.equal(alone.view(torch.int32), nothing.view(torch.int32))
    held, found = train(penalty, 1.0, optimizer)
    assert not torch.equal(alone, held)
    assert (found.omega["w"] >= 0).all()
    assert (found.omega["w"] > 0).any()
    one_task, _ = train(penalty, 1.0, optimizer, tasks=1)
    assert torch.equal(one_task, train(None, 0.0, optimizer, tasks=1)[0])  # nothing is held yet


@pytest.mark.parametrize("penalty", PENALTIES)
def test_at_strength_0_it_does_not_touch_what_is_not_finite(penalty):
    _, found = train(penalty, 0.0, OPTIMIZERS[0])
    w = found.weights["w"]
    with torch.no_grad():
        w.fill_(torch.inf)
    w.grad = torch.ones(6)
    for call in ("add_gradient", "step", "step"):
        if hasattr(found, call) and not (penalty is SynapticIntelligence and call == "step"):
            getattr(found, call)()
    assert (w == torch.inf).all()
    assert (w.grad == 1).all()


@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_state_is_taken_up_and_is_a_copy(penalty):
    _, one = train(penalty, 1.0, OPTIMIZERS[0])
    state = one.state_dict()
    other = penalty([("w", nn.Parameter(torch.zeros(6))), ("v", nn.Parameter(torch.zeros(2)))], 1.0)
    other.load_state_dict(state)
    for what, tensors in other.state_dict().items():
        if what != "tasks":
            assert all(torch.equal(tensor, state[what][name]) for name, tensor in tensors.items())
    assert other.tasks == 3
    one.omega["w"].fill_(7.0)
    assert not (state["omega"]["w"] == 7).any()
    assert not (other.omega["w"] == 7).any()
    with pytest.raises(ValueError, match=f"state_dict must be of a {penalty.__name__} of the same weights"):
        penalty([("w", nn.Parameter(torch.zeros(5)))], 1.0).load_state_dict(state)


def test_an_anchor_can_be_moved_without_a_task():
    w = nn.Parameter(torch.zeros(1))
    penalty = CostPerSynapse([w], 1.0)
    for _ in range(2):
        with torch.no_grad():
            w.add_(0.5)
        penalty.step()
    penalty.end_task()
    omega = penalty.omega["0"].clone()
    assert 0 < omega < 1
    with torch.no_grad():
        w.add_(4.0)  # a replay that is not to be undone
    penalty.move_anchor()
    with torch.no_grad():
        w.add_(0.25)
    penalty.step()
    assert w.item() == 5.25  # W_before is W*
    assert torch.equal(penalty.omega["0"], omega)
    penalty.step()
    assert w.item() == pytest.approx(5.25 - 0.25 * omega.item())


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("strength", [-1.0, math.nan, math.inf, True, "1"])
def test_a_bad_strength_is_refused(penalty, strength):
    with pytest.raises(ValueError, match="strength must be a finite number of at least 0, got"):
        penalty([nn.Parameter(torch.zeros(1))], strength)


def test_other_bad_arguments_are_refused():
    w = nn.Parameter(torch.zeros(1))
    with pytest.raises(ValueError, match="zeta must be a finite number above 0, got 0"):
        CostPerSynapse([w], 1.0, 0)
    with pytest.raises(ValueError, match="xi must be a finite number above 0, got -1"):
        SynapticIntelligence([w], 1.0, -1)
    with pytest.raises(ValueError, match="samples must be an integer of at least 1, got 0"):
        CostPerSynapse([w], 1.0).end_task(0)
    with pytest.raises(ValueError, match="parameters must hold at least one tensor"):
        CostPerSynapse([], 1.0)
    with pytest.raises(TypeError, match=r"parameters must be tensors or .* pairs, got int"):
        CostPerSynapse([3], 1.0)
    with pytest.raises(ValueError, match="parameters must have different names, got 'a' twice"):
        CostPerSynapse([("a", w), ("a", w)], 1.0)
    with pytest.raises(ValueError, match="parameters must be leaves of floating-point numbers"):
        CostPerSynapse([w * 2], 1.0)
    with pytest.raises(ValueError, match="inputs must hold at least one sample"):
        ElasticWeightConsolidation([w], 1.0).end_task(nn.Linear(1, 2), torch.zeros(0, 1))
    with pytest.raises(RuntimeError, match=r"add_gradient\(\) must be called"):
        SynapticIntelligence([w], 1.0).step()

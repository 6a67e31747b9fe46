"""The closure that evaluates another one at both points."""

import pytest
import torch
from torch import nn

from steepest import SNGM, SymmetricNoise
from tests.gradients.noisy import BoomError, bits, contexts, hessian, hooks, network, quadratic, weight

# Most contexts here have no backward().
pytestmark = pytest.mark.filterwarnings("ignore:none of the weights that SymmetricNoise moved")

DRIVEN = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
    "adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "sngm": lambda p: SNGM(p, lr=0.05),
}


@pytest.mark.parametrize("sides", [2, 1])
@pytest.mark.parametrize("set_to_none", [True, False])
@pytest.mark.parametrize("name", DRIVEN)
def test_a_closure_is_the_contexts_by_hand(name, set_to_none, sides):
    runs = []
    for by_hand in (True, False):
        model = network()
        optimizer = DRIVEN[name](model.parameters())
        source = SymmetricNoise(model.named_parameters(), alpha=0.2, sides=sides)
        losses = []
        for step in range(5):
            x = torch.randn(16, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)

            def loss_of(x=x, model=model):
                return model(x).square().mean()

            if by_hand:
                optimizer.zero_grad()
                total = 0
                for context in contexts(source):
                    with context():
                        loss = loss_of() / sides
                        loss.backward()
                        total += loss.item()
                optimizer.step()
            else:

                def closure(loss_of=loss_of, optimizer=optimizer):
                    optimizer.zero_grad(set_to_none=set_to_none)
                    loss = loss_of()
                    loss.backward()
                    return loss

                total = optimizer.step(source.closure(closure)).item()
            losses.append(total)
        runs.append((torch.cat([p.detach().flatten() for p in model.parameters()]), losses))
    torch.testing.assert_close(runs[0][0], runs[1][0], rtol=1e-10, atol=1e-12)
    assert runs[0][1] == pytest.approx(runs[1][1], rel=1e-12)


def test_a_closure_that_zeroes_nothing_adds_the_mean_to_what_was_there():
    w, h = weight(3, 4), hessian(12)
    source = SymmetricNoise([w], alpha=0.3)
    w.grad = torch.full_like(w, 10.0)
    held = w.grad
    source.closure(lambda: quadratic(w, h).backward())()
    torch.testing.assert_close(w.grad.flatten(), 10 + h @ w.detach().flatten(), rtol=1e-12, atol=1e-12)
    assert torch.equal(held, torch.full_like(w, 10.0)) or held is w.grad


@pytest.mark.parametrize("set_to_none", [True, False, None], ids=["none", "zeros", "kept"])
@pytest.mark.parametrize("used_at", [1, -1])
def test_a_parameter_that_is_used_at_one_point_has_half_its_gradient(used_at, set_to_none):
    a, b, c = weight(2, 3), weight(3), weight(3)
    source = SymmetricNoise([a, b, c])
    optimizer = torch.optim.SGD([a, b, c], lr=0.1)
    b.grad = torch.full_like(b, 7.0)
    seen = []

    def closure():
        seen.append(source.sign)
        if set_to_none is not None:
            optimizer.zero_grad(set_to_none=set_to_none)
        loss = a.sum() + (3 * b.sum() if source.sign == used_at else 0)
        loss.backward()
        return loss

    loss = source.closure(closure)()
    assert seen == [1, -1]
    assert source.sign == 0
    torch.testing.assert_close(loss, a.sum() + 1.5 * b.sum())
    torch.testing.assert_close(a.grad, torch.ones_like(a))
    torch.testing.assert_close(b.grad, torch.full_like(b, 1.5 if set_to_none is not None else 8.5))
    assert c.grad is None


def test_gradients_near_overflow_have_a_mean():
    w = weight(2, 2, dtype=torch.float32)
    source = SymmetricNoise([w])
    source.closure(lambda: (3e38 * w).sum().backward())()
    assert torch.equal(w.grad, torch.full_like(w, 3e38))


def test_a_closure_may_return_nothing_and_may_raise():
    w = weight(3, 4)
    before, count = bits(w), hooks()
    source = SymmetricNoise([w])
    assert source.closure(lambda: None)() is None
    for bad in (1, -1):

        def closure(bad=bad):
            if source.sign == bad:
                raise BoomError

        with pytest.raises(BoomError):
            source.closure(closure)()
        assert torch.equal(bits(w), before)
        assert (source.sign, hooks()) == (0, count)
    assert source.closure(lambda: 2.0)() == 2.0


def test_lbfgs_runs():
    w, h = weight(3, 4), hessian(12)
    optimizer = torch.optim.LBFGS([w], lr=0.5, max_iter=8)
    source = SymmetricNoise([w], alpha=0.05)
    start = quadratic(w, h).item()
    calls = []

    def closure():
        calls.append(source.sign)
        optimizer.zero_grad()
        loss = quadratic(w, h)
        loss.backward()
        return loss

    for _ in range(2):
        optimizer.step(source.closure(closure))
    assert quadratic(w, h).item() < 0.1 * start
    assert calls == [1, -1] * (len(calls) // 2)
    assert len(calls) > 8


def test_sparse_gradients():
    gradients = []
    for sparse in (False, True):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Embedding(6, 4, sparse=sparse), nn.Linear(4, 2)).double()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        source = SymmetricNoise(model.named_parameters(), alpha=0.3)

        def closure(model=model, optimizer=optimizer, source=source):
            optimizer.zero_grad()
            tokens = torch.tensor([1, 2, 2] if source.sign > 0 else [2, 4, 4])
            loss = model(tokens).pow(4).sum()
            loss.backward()
            return loss

        optimizer.step(source.closure(closure))
        assert model[0].weight.grad.is_sparse == sparse
        gradients.append(model[0].weight.grad.to_dense())
        gradients.append(model[0].weight.detach())
    torch.testing.assert_close(gradients[0], gradients[2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(gradients[1], gradients[3], rtol=1e-12, atol=1e-12)
    assert (gradients[0][[1, 2, 4]] != 0).all()

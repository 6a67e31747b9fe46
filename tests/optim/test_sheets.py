"""The checks of the method sheets: what the algebra promises of SNGM and of block-normalised gradients."""

import math

import pytest
import torch
from torch import nn

from steepest import SNGM, BlockNormalizedSGD


def network(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)).to(dtype)


def train(model, optimizer, steps=20, loss_scale=1.0, layer_scale=None, seen=None):
    generator = torch.Generator().manual_seed(4)
    for _ in range(steps):
        optimizer.zero_grad()
        x = torch.randn(16, 6, generator=generator, dtype=torch.float64)
        (loss_scale * model(x).square().mean()).backward()
        if layer_scale is not None:
            for p in model[0].parameters():
                p.grad.mul_(layer_scale)
        optimizer.step()
        if seen is not None:
            seen(optimizer)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def buffers(optimizer):
    return [s["momentum_buffer"] for s in optimizer.state.values()]


class TestSNGM:
    def test_the_size_of_the_loss_does_not_matter(self):
        runs = []
        for loss_scale in (1.0, 1000.0):
            model = network()
            runs.append(train(model, SNGM(model.parameters(), lr=0.05, weight_decay=1e-3), loss_scale=loss_scale))
        torch.testing.assert_close(runs[0], runs[1], rtol=1e-11, atol=1e-13)

    @pytest.mark.parametrize("momentum", [0.5, 0.9])
    def test_momentum_never_exceeds_its_bound(self, momentum):
        norms = []

        def seen(optimizer):
            norms.append(torch.stack([b.norm() for b in buffers(optimizer)]).norm().item())

        model = network()
        train(model, SNGM(model.parameters(), lr=1e-4, momentum=momentum), steps=200, seen=seen)
        assert max(norms) <= 1 / (1 - momentum) * (1 + 1e-12)
        assert max(norms) > 0.5 / (1 - momentum)  # the bound is nearly met by a steady gradient

    def test_one_tensor_global_is_block(self):
        results = []
        for method in (SNGM, BlockNormalizedSGD):
            w = nn.Parameter(torch.linspace(-1, 1, 7, dtype=torch.float64))
            optimizer = method([w], lr=0.1, weight_decay=0.01)
            for _ in range(10):
                optimizer.zero_grad()
                w.cosh().sum().backward()
                optimizer.step()
            results.append(w.detach())
        assert torch.equal(*results)

    @staticmethod
    def descend_two_exponentials(make, steps):
        """F(w) = e^w + e^-w from w = 10: no Lipschitz constant bounds its gradient."""
        w = nn.Parameter(torch.tensor(10.0, dtype=torch.float64))
        optimizer = make([w])
        # The closed form of the linear decay: the end, a sign flip at every step, feels the last bit of lr.
        decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 - t / steps)
        for _ in range(steps):
            optimizer.zero_grad()
            (w.exp() + (-w).exp()).backward()
            optimizer.step()
            decay.step()
        return w.item()

    @pytest.mark.parametrize(("lr", "end", "tolerance"), [(5e-3, -1.6e-5, 0.05e-5), (5e-4, 5.04, 0.005)])
    def test_arrives_where_no_lipschitz_constant_holds(self, lr, end, tolerance):
        w = self.descend_two_exponentials(lambda p: SNGM(p, lr=lr, momentum=0.9), steps=2000)
        assert w == pytest.approx(end, abs=tolerance)

    @pytest.mark.parametrize("lr", [0.01, 0.1, 0.5])
    def test_where_sgd_is_nan(self, lr):
        w = self.descend_two_exponentials(lambda p: torch.optim.SGD(p, lr=lr, momentum=0.9), steps=2000)
        assert math.isnan(w)


class TestBlockNormalized:
    @pytest.mark.parametrize("ratio", [None, 0.02])
    def test_one_layers_gradient_times_a_million_changes_nothing(self, ratio):
        runs = []
        for layer_scale in (1.0, 1e6):
            model = network()
            optimizer = BlockNormalizedSGD(model.named_parameters(), lr=0.05, ratio=ratio, weight_decay=1e-3)
            runs.append(train(model, optimizer, layer_scale=layer_scale))
        torch.testing.assert_close(runs[0], runs[1], rtol=1e-11, atol=1e-13)

    @pytest.mark.parametrize("ratio", [None, 0.02])
    def test_each_layer_moves_by_lr_or_by_lr_times_ratio_of_itself(self, ratio):
        model = network()
        before = [torch.cat([p.detach().flatten() for p in layer.parameters()]) for layer in (model[0], model[2])]
        train(model, BlockNormalizedSGD(model.named_parameters(), lr=0.1, momentum=0.0, ratio=ratio), steps=1)
        for layer, old in zip((model[0], model[2]), before, strict=True):
            new = torch.cat([p.detach().flatten() for p in layer.parameters()])
            expected = 0.1 if ratio is None else 0.1 * ratio * old.norm().item()
            assert (new - old).norm().item() == pytest.approx(expected, rel=1e-12)
            grad = torch.cat([p.grad.flatten() for p in layer.parameters()])
            assert nn.functional.cosine_similarity(new - old, -grad, dim=0).item() == pytest.approx(1.0, rel=1e-12)

    def test_one_block_over_everything_is_sngm(self):
        runs = []
        for method in (SNGM, BlockNormalizedSGD):
            model = network()
            one_block = [("all." + name.replace(".", "_"), p) for name, p in model.named_parameters()]
            runs.append(train(model, method(one_block, lr=0.05, weight_decay=1e-3)))
        assert torch.equal(*runs)

    def test_one_block_per_scalar_is_sign_sgd(self):
        weights = [nn.Parameter(torch.tensor(x, dtype=torch.float64)) for x in (-3.0, 0.5, 2.0)]
        optimizer = BlockNormalizedSGD(weights, lr=0.25, momentum=0.0)
        torch.stack([3 * weights[0] ** 2, weights[1], weights[2] ** 4]).sum().backward()
        optimizer.step()
        assert [w.item() for w in weights] == [-2.75, 0.25, 1.75]

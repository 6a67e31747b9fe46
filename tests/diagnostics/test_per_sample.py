"""The gradient of every sample by itself: in parallel, in turn, some at a time; and what is not a sample's."""

import pytest
import torch
from torch import nn

from steepest.diagnostics import gradient_covariance, per_sample
from steepest.diagnostics.per_sample import per_sample_gradients
from steepest.diagnostics.samples import samples_of
from steepest.diagnostics.subject import Subject
from tests.diagnostics.problems import dense_gradients, mlp, samples

LOSS = nn.CrossEntropyLoss()


def rows_of(model, batch, loss_fn=LOSS):
    subject = Subject(model, loss_fn, [batch])
    with subject.looked_at():
        found = list(per_sample_gradients(subject, samples_of(batch, subject.device)))
    return torch.cat([losses for losses, _ in found]), torch.cat([rows for _, rows in found]), len(found)


@pytest.mark.parametrize("numbers", [1, 57 * 7, 2**24])
@pytest.mark.parametrize("mapped", [True, False])
def test_rows_are_those_of_a_loop(numbers, mapped, monkeypatch):
    monkeypatch.setattr(per_sample, "NUMBERS", numbers)
    if not mapped:
        monkeypatch.setattr(per_sample, "_map", None)  # it fails
    losses, rows, chunks = rows_of(mlp(), samples())
    torch.testing.assert_close(rows, dense_gradients(mlp(), LOSS, *samples()))
    expected = nn.functional.cross_entropy(mlp()(samples()[0]), samples()[1], reduction="none")
    torch.testing.assert_close(losses, expected.detach())
    assert chunks == {1: 20, 57 * 7: 3, 2**24: 1}[numbers]
    assert not rows.requires_grad
    assert not losses.requires_grad


def test_a_loss_that_vmap_can_map_is_mapped(monkeypatch):
    monkeypatch.setattr(per_sample, "_loop", None)
    rows_of(mlp(nn.BatchNorm1d(6).double(), nn.Dropout()), samples())


def test_what_is_no_sample_stays_as_it_is():
    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x, scale, name):
            assert name == "some"
            return self.inner(x) * scale

    inputs, targets = samples()
    batch = ({"x": inputs, "scale": torch.tensor([2.0, 1.0, 0.5]), "name": "some"}, targets)
    _, rows, _ = rows_of(Weighted(), batch)

    def scaled(outputs, targets):
        return LOSS(outputs * torch.tensor([2.0, 1.0, 0.5]), targets)

    torch.testing.assert_close(rows, dense_gradients(mlp(), scaled, inputs, targets))


def test_positional_inputs_and_nested_targets():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x, y):
            return self.inner(x + y)

    inputs, targets = samples()
    for both in ((inputs, inputs), [inputs, inputs]):
        _, rows, _ = rows_of(Pair(), (both, {"label": targets}), lambda o, t: LOSS(o, t["label"]))
        torch.testing.assert_close(rows, dense_gradients(mlp(), LOSS, 2 * inputs, targets))


def test_samples_that_see_each_other_are_refused():
    model = mlp(nn.BatchNorm1d(6, track_running_stats=False).double())
    with pytest.raises(ValueError, match="got 1, a BatchNorm1d that normalises by the batch: use track_running_stats"):
        gradient_covariance(model, LOSS, [samples()])


def test_an_error_of_the_users_own_comes_through():
    calls = []

    def loss_fn(outputs, targets):
        calls.append(1)
        if len(calls) > 1:
            raise KeyError("mine")
        return LOSS(outputs, targets)

    with pytest.raises(KeyError, match="mine"):
        rows_of(mlp(), samples(), loss_fn)

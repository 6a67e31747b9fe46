"""The second half of a range test: rates near the suggestion, tried again from the start."""

import copy
import math
import statistics

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from steepest.schedules import lr_range_test
from steepest.schedules.range_curve import RangeCurve
from steepest.schedules.range_reading import RangeReading, read_range
from tests.ranks import on_ranks
from tests.schedules.rig import OPTIMIZERS, Rig, equal

C = 3


def batches(count=40, size=20):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, size, 4, generator=generator)
    return list(zip(x, (x[..., 0] > 0).long() + (x[..., 1] > 0).long(), strict=True))


def line():
    torch.manual_seed(0)
    return nn.Linear(4, C)


def sgd(model):
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def by_hand(lrs, steps):
    """At each rate, of a run from the start, the mean loss of the last third of its steps and of the batch after."""
    found = []
    for lr in lrs:
        model, losses = line(), []
        optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
        for x, y in batches()[: steps + 1]:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            losses.append(loss.item())
            loss.backward()
            optimizer.step()
        found.append(statistics.fmean(losses[-1 - steps // 3 :]))
    return found


def test_they_are_runs_of_ones_own_and_the_largest_that_comes_low_is_halved():
    model = line()
    found = lr_range_test(model, sgd(model), F.cross_entropy, batches(), refine_iter=7 * 12)
    once = lr_range_test(model, sgd(model), F.cross_entropy, batches(), refine_iter=0)
    assert once.restarts == ()
    lrs = [once.suggestion * 2.0**k for k in range(-4, 3)]
    assert [lr for lr, _ in found.restarts] == lrs
    losses = by_hand(lrs, 12)
    assert [loss for _, loss in found.restarts] == pytest.approx(losses, rel=1e-5)
    assert found.gradient_evaluations == once.gradient_evaluations + 7 * 12
    assert (found.loss, found.bounds, found.note) == (once.loss, once.bounds, once.note)
    start = statistics.median(found.smoothed[:10])
    level = min(losses) + 0.1 * (start - min(losses))
    assert found.suggestion == max(lr for lr, loss in zip(lrs, losses, strict=True) if loss <= level) / 2


@pytest.mark.parametrize(
    ("count", "options", "steps"),
    [
        (100, {}, 0),
        (169, {}, 0),  # 9 steps at each would be too few
        (170, {}, 10),
        (310, {}, 30),
        (900, {}, 30),
        (130, {"num_iter": 60}, 10),
        (260, {"num_iter": 60, "accumulation_steps": 2}, 10),
        (900, {"restart": True}, 0),
        (900, {"refine_iter": 0}, 0),
        (20, {"refine_iter": 75}, 10),
    ],
)
def test_one_pass_over_the_loader_pays_for_them(count, options, steps):
    model = line()
    found = lr_range_test(model, sgd(model), F.cross_entropy, batches(count, 4), **options)
    assert len(found.restarts) == (7 if steps else 0)
    assert found.gradient_evaluations == len(found.lr) * (10 if "restart" in options else 1) + 7 * steps
    if "refine_iter" not in options:
        assert found.gradient_evaluations <= max(100, count)


def test_a_loader_without_a_length_pays_for_none():
    class Stream:
        def __iter__(self):
            return iter(batches(900, 4))

    model = line()
    assert lr_range_test(model, sgd(model), F.cross_entropy, Stream()).restarts == ()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.slow
def test_they_leave_everything_as_it_was(name, monkeypatch):
    seen = RangeReading((0.01, 0.1), 0.05, "")
    monkeypatch.setattr("steepest.schedules.range_test.read_range", lambda curve, restarts=(): seen)
    rig, alone = Rig(name), Rig(name)
    before, objects = rig.state(), rig.objects()
    found = rig.test(refine_iter=70)
    assert len({loss for _, loss in found.restarts}) == 7
    assert equal(rig.state(), before)
    assert rig.objects() == objects
    assert equal(rig.goes_on(), alone.goes_on())


def test_so_they_do_when_the_loss_raises_in_the_middle(monkeypatch):
    seen, calls = RangeReading((0.01, 0.1), 0.05, ""), []
    monkeypatch.setattr("steepest.schedules.range_test.read_range", lambda curve, restarts=(): seen)

    def loss_fn(outputs, targets):
        calls.append(1)
        if len(calls) == 2 * 30 + 27:
            raise ZeroDivisionError
        return F.cross_entropy(outputs, targets)

    rig = Rig("sngm", loss_fn=loss_fn)
    before = rig.state()
    with pytest.raises(ZeroDivisionError):
        rig.test(refine_iter=70)
    assert equal(rig.state(), before)


class Fragile(nn.Module):
    """A bowl with an edge, over which the way is lost for good."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, _):
        return self.w if self.w > -0.2 else self.w * 0 + 10 * self.w.detach()


def test_a_rate_that_breaks_a_start_is_not_suggested():
    """A sweep comes to it with weights that are small already."""
    data = [(torch.zeros(1), torch.zeros(1))] * 20

    def height(w, _):
        return w.square()

    model = Fragile()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    options = {"start_lr": 1e-4, "end_lr": 10.0}
    once = lr_range_test(model, optimizer, height, data, refine_iter=0, **options)
    again = lr_range_test(model, optimizer, height, data, refine_iter=210, **options)
    last = dict(again.restarts)
    assert last[max(last)] > 1
    assert last[2 * again.suggestion] < 0.1
    assert again.suggestion < once.suggestion


def curve_of(losses):
    curve = RangeCurve(0.0, math.inf)
    for i, loss in enumerate(losses):
        curve.note(10.0 ** (i - 5), loss)
    return curve


@pytest.mark.parametrize(
    ("restarts", "suggestion"),
    [
        ([(0.1, 1.0), (0.2, 0.5), (0.4, 0.6), (0.8, 0.7)], 0.2),  # of 1.95 to 0.5 a tenth is 0.15
        ([(0.1, 1.0), (0.2, 0.5), (0.4, math.nan), (0.8, math.nan)], 0.1),
        ([(0.1, 0.5), (0.2, 0.9), (0.4, 0.55)], 0.2),
        ([(0.1, 2.1), (0.2, 2.3)], None),  # nothing is learnt: what the sweep says stays
        ([(0.1, math.nan), (0.2, math.nan)], None),
    ],
)
def test_how_they_are_read(restarts, suggestion):
    curve = curve_of([2.0, 2.0, 1.95, 1.9, 1.0, 0.5, 0.4, 3.0])
    assert read_range(curve, restarts).suggestion == (
        read_range(curve).suggestion if suggestion is None else suggestion
    )


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"refine_iter": 69}, ValueError, "refine_iter must be 0 or pay for 10 steps at 7 rates, 70, got 69"),
        ({"refine_iter": -1}, ValueError, "refine_iter must be 0 or"),
        ({"refine_iter": 70.0}, ValueError, "refine_iter must be an integer, got 70.0"),
        ({"refine_iter": 70, "restart": True}, ValueError, "refine_iter cannot be had together with restart"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, error, sentence):
    model = line()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=f"^{sentence}"):
        lr_range_test(model, sgd(model), F.cross_entropy, batches(), **options)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)


def restarts_on_a_rank(rank):
    model = line()
    optimizer = sgd(model)

    def average(*_):
        for p in model.parameters():
            torch.distributed.all_reduce(p.grad)
            p.grad /= 2

    optimizer.register_step_pre_hook(average)
    return lr_range_test(model, optimizer, F.cross_entropy, batches()[rank::2], refine_iter=84)


@pytest.mark.slow
def test_two_ranks_agree_with_one_process():
    first, second = on_ranks(restarts_on_a_rank)
    data = batches()
    whole = [(torch.cat([a, c]), torch.cat([b, d])) for (a, b), (c, d) in zip(data[::2], data[1::2], strict=True)]
    model = line()
    alone = lr_range_test(model, sgd(model), F.cross_entropy, whole, refine_iter=84)
    assert first.restarts == second.restarts
    assert [loss for _, loss in first.restarts] == pytest.approx([loss for _, loss in alone.restarts], rel=1e-4)
    assert first.suggestion == second.suggestion == pytest.approx(alone.suggestion)

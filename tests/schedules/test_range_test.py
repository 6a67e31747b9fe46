"""The range test: what it sees, when it ends, and that nothing of it stays."""

import copy
import csv
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import steepest
from steepest.schedules import LRRange, lr_range_test, mutual_information
from steepest.schedules.range_curve import RangeCurve, rates
from tests.ranks import on_ranks
from tests.schedules.rig import OPTIMIZERS, C, Net, Rig, dataset, equal, packed


@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.slow
def test_afterwards_everything_is_as_before_and_training_goes_on_as_without(name, restart):
    rig, alone = Rig(name), Rig(name)
    assert equal(rig.state(), alone.state())
    before, objects = rig.state(), rig.objects()
    found = rig.test(restart=restart)
    assert max(found.loss) > min(found.loss)
    assert equal(rig.state(), before)
    assert rig.objects() == objects
    assert equal(rig.goes_on(), alone.goes_on())


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["sgd", "insgd", "ssgd", "csgd"])
def test_so_it_is_after_an_exception_in_the_middle(name, error):
    calls = []

    def loss_fn(outputs, targets):
        calls.append(1)
        if len(calls) == 11:
            raise error
        return F.cross_entropy(outputs, targets)

    rig, alone = Rig(name, loss_fn=loss_fn), Rig(name)
    before = rig.state()
    with pytest.raises(error):
        rig.test()
    assert equal(rig.state(), before)
    assert equal(rig.goes_on(), alone.goes_on())


def test_a_grad_scaler_on_the_cpu():
    lowest = []
    for scaled in (True, False):
        rig, alone = Rig("sgd", scaled=scaled), Rig("sgd", scaled=scaled)
        before = rig.state()
        found = rig.test()
        assert equal(rig.state(), before)
        assert equal(rig.goes_on(), alone.goes_on())
        lowest.append(min(found.smoothed))
    assert lowest[0] == pytest.approx(lowest[1], rel=1e-3)
    fresh = torch.amp.GradScaler("cpu")
    lr_range_test(rig.model, rig.optimizer, rig.loss_fn, rig.loader, scaler=fresh, num_iter=5)
    assert fresh._scale is None


def line(seed=0):
    torch.manual_seed(seed)
    return nn.Linear(6, C)


def batches(n=5, size=12, seed=0):
    x, y = dataset(n * size, seed).tensors
    return list(zip(x.split(size), y.split(size), strict=True))


def sgd(model, lr=0.1, **options):
    return torch.optim.SGD(model.parameters(), lr=lr, **options)


def by_hand(restart, steps):
    """The curve of a loop of one's own: loss after the steps at each rate, and the classes of that batch."""
    model, data = line(), batches()
    optimizer = sgd(model, momentum=0.9)
    start, taken, found = copy.deepcopy((model.state_dict(), optimizer.state_dict())), 0, []
    for lr in rates(1e-3, 1.0, 30 // steps, "exp"):
        if restart:
            model.load_state_dict(start[0])
            optimizer.load_state_dict(copy.deepcopy(start[1]))
            taken = 0
        for group in optimizer.param_groups:
            group["lr"] = lr
        for _ in range(steps):
            x, y = data[taken % len(data)]
            taken += 1
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        x, y = data[taken % len(data)]
        with torch.no_grad():
            logits = model(x)
        table = torch.zeros(C, C, dtype=torch.int64)
        table.index_put_((y, logits.argmax(1)), torch.tensor(1), accumulate=True)
        found.append((lr, float(F.cross_entropy(logits, y)), table))
    return found


@pytest.mark.parametrize(("restart", "steps"), [(False, None), (False, 3), (True, None), (True, 2)])
def test_it_is_a_loop_of_ones_own(restart, steps):
    model = line()
    found = lr_range_test(
        model,
        sgd(model, momentum=0.9),
        F.cross_entropy,
        batches(),
        start_lr=1e-3,
        end_lr=1.0,
        num_iter=30,
        restart=restart,
        steps_per_lr=steps,
    )
    expected = by_hand(restart, steps or (10 if restart else 1))
    assert found.lr == tuple(lr for lr, _, _ in expected)
    assert found.loss == pytest.approx([loss for _, loss, _ in expected], rel=1e-6)
    window = 1 if restart else 10
    tables = [table for _, _, table in expected]
    together = [sum(tables[max(0, i + 1 - window) : i + 1]) for i in range(len(tables))]
    assert found.information == pytest.approx([mutual_information(t, "miller-madow") for t in together])
    assert found.gradient_evaluations == 30
    losses = [loss for _, loss, _ in expected]
    spikeless = [sorted(losses[max(0, min(i - 1, len(losses) - 3)) :][:3])[1] for i in range(len(losses))]
    share = 0.0 if restart else 0.9
    weights = [[share ** (i - j) for j in range(i + 1)] for i in range(len(losses))]
    average = [sum(a * b for a, b in zip(w, spikeless, strict=False)) / sum(w) for w in weights]
    assert found.smoothed == pytest.approx(average, rel=1e-6)


class Bowl(nn.Module):
    """Of curvature 8: gradient descent diverges above 2 / 8."""

    def __init__(self, noise=0.0):
        super().__init__()
        self.w, self.noise = nn.Parameter(torch.full((4,), 1.0, dtype=torch.float64)), noise

    def forward(self, x):
        return self.w + self.noise * x


def height(w, _):
    return 4 * w.square().sum()


def noisy(n=40):
    generator = torch.Generator().manual_seed(0)
    return [(torch.randn(4, generator=generator, dtype=torch.float64), torch.zeros(1)) for _ in range(n)]


@pytest.mark.parametrize("restart", [False, True])
def test_the_end_of_a_bowl_is_found(restart):
    model = Bowl()
    options = {"start_lr": 1e-4, "end_lr": 10.0, "restart": restart, "num_iter": 500 if restart else 100}
    found = lr_range_test(model, sgd(model), height, noisy(), **options)
    assert found.information is None
    assert found.suggestion < 0.25
    assert found.bounds[0] < found.suggestion
    if restart:  # in one sweep the loss has all but vanished by then, and takes long to come back
        assert 0.15 < found.bounds[1] < 0.3
        assert found.diverged_at == pytest.approx(0.25, rel=0.5)
    assert found.note.startswith("the sweep ended at lr")


def test_a_loss_that_is_not_finite_ends_it_and_is_said():
    for bad in (math.nan, math.inf, -math.inf):
        calls = []

        def loss_fn(outputs, targets, calls=calls, bad=bad):
            calls.append(1)
            return F.cross_entropy(outputs, targets) + (bad if len(calls) > 170 else 0.0)

        model = line()
        found = lr_range_test(model, sgd(model), loss_fn, batches(), diverge_factor=math.inf)
        assert not math.isfinite(found.loss[-1])
        assert len(found.lr) == 85 + 1
        assert found.diverged_at == found.lr[-1]
        assert f"ended at lr {found.diverged_at:.3g}, where the loss was not finite" in found.note
        assert found.bounds[1] < found.diverged_at


def test_an_early_spike_fools_neither_the_end_nor_the_suggestion():
    def spiking(at):
        calls = []

        def loss_fn(outputs, targets):
            calls.append(1)
            return F.cross_entropy(outputs, targets) + (1000.0 if len(calls) // 2 == at else 0.0)

        return loss_fn

    model = line()
    plain = lr_range_test(model, sgd(model), F.cross_entropy, batches())
    for at in (1, 2, 3, 8, 30):
        found = lr_range_test(model, sgd(model), spiking(at), batches())
        assert max(found.loss) > 900
        assert len(found.lr) == len(plain.lr)
        assert found.suggestion == pytest.approx(plain.suggestion, rel=0.2)


def test_a_flat_curve_says_that_nothing_is_seen():
    torch.manual_seed(0)
    model = line()
    chance = [(torch.randn(12, 6), torch.randint(C, (12,))) for _ in range(100)]
    for options in ({"end_lr": 1e-3}, {"end_lr": 1e-3, "restart": True}, {"end_lr": 0.1}):
        found = lr_range_test(model, sgd(model), F.cross_entropy, chance, **options)
        assert found.suggestion is found.bounds is None
        assert found.note.startswith("nothing seen: from lr 1e-06 to")
    found = lr_range_test(model, sgd(model), lambda outputs, targets: outputs.sum() * math.nan, chance)
    assert found.suggestion is found.bounds is None
    assert found.note.startswith("nothing seen: the loss was not finite at lr 1e-06")


def test_a_range_that_is_too_low_or_too_high_is_said():
    model = line()
    found = lr_range_test(model, sgd(model), F.cross_entropy, batches(), end_lr=0.3)
    assert "a higher end_lr would tell more" in found.note
    found = lr_range_test(model, sgd(model), F.cross_entropy, batches(), start_lr=1.0, end_lr=9.0, restart=True)
    assert "a lower start_lr would tell more" in found.note


def test_groups_keep_their_ratios_and_lr_tensors_are_filled_in_place():
    model = line()
    groups = [{"params": [model.weight], "lr": 0.2}, {"params": [model.bias], "lr": torch.tensor(0.05)}]
    optimizer = torch.optim.SGD([*groups, {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.0}], lr=1.0)
    seen, tensor = [], optimizer.param_groups[1]["lr"]
    optimizer.register_step_pre_hook(lambda o, *_: seen.append([float(group["lr"]) for group in o.param_groups]))
    found = lr_range_test(model, optimizer, F.cross_entropy, batches(), num_iter=20)
    assert [lrs[0] for lrs in seen] == list(found.lr)
    assert [lrs[1] for lrs in seen] == pytest.approx([lr / 4 for lr in found.lr])
    assert {lrs[2] for lrs in seen} == {0.0}
    assert optimizer.param_groups[1]["lr"] is tensor
    assert [float(group["lr"]) for group in optimizer.param_groups] == pytest.approx([0.2, 0.05, 0.0])


def test_accumulated_batches_are_one():
    model, data = line(), batches(8, 6)
    pairs = [(torch.cat([a, c]), torch.cat([b, d])) for (a, b), (c, d) in zip(data[::2], data[1::2], strict=True)]
    apart = lr_range_test(model, sgd(model), F.cross_entropy, data, accumulation_steps=2)
    whole = lr_range_test(model, sgd(model), F.cross_entropy, pairs)
    assert apart.loss == pytest.approx(whole.loss, rel=1e-4)
    assert apart.information == pytest.approx(whole.information)
    assert apart.gradient_evaluations == whole.gradient_evaluations == len(whole.lr)


def test_a_gradient_of_ones_own():
    def swept(**options):
        torch.manual_seed(0)
        model = Net()
        return lr_range_test(model, steepest.SNGM(model.parameters(), lr=0.1), F.cross_entropy, batches(), **options)

    def gradient(batch):
        loss = F.cross_entropy(held[-1](batch[0]), batch[1])
        loss.backward()
        return loss.detach()

    held = []
    torch.manual_seed(0)
    held.append(model := Net())
    own = lr_range_test(model, steepest.SNGM(model.parameters(), lr=0.1), F.cross_entropy, batches(), gradient=gradient)
    plain = swept()
    assert (own.loss, own.bounds, own.gradient_evaluations) == (plain.loss, plain.bounds, plain.gradient_evaluations)
    for wrong, error in ((3, TypeError), (gradient, ValueError)):
        with pytest.raises(error, match=r"^gradient "):
            swept(gradient=wrong, accumulation_steps=2)


def test_gradients_of_closures_are_counted():
    model = line()
    ssgd = lr_range_test(model, steepest.SSGD(model.parameters(), 0.1), F.cross_entropy, batches(), closure=True)
    assert ssgd.gradient_evaluations == 2 * len(ssgd.lr)
    lbfgs = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=3)
    found = lr_range_test(model, lbfgs, F.cross_entropy, batches(), closure=True, num_iter=10)
    assert found.gradient_evaluations > 2 * len(found.lr)


def test_autocast_computes_in_its_dtype():
    model, dtypes = line(), set()

    def loss_fn(outputs, targets):
        dtypes.add(outputs.dtype)
        return F.cross_entropy(outputs, targets)

    found = lr_range_test(model, sgd(model), loss_fn, batches(), autocast=torch.bfloat16, num_iter=10)
    assert dtypes == {torch.bfloat16}
    assert found.information is not None


def test_other_batches():
    class Keyword(nn.Linear):
        def forward(self, x, y):
            return super().forward(x)

    model = Keyword(6, C)
    tables = [{"x": x, "y": y} for x, y in batches()]
    found = lr_range_test(model, sgd(model), lambda out, batch: F.cross_entropy(out, batch["y"]), tables, num_iter=10)
    assert found.information is None
    both = lr_range_test(model, sgd(model), F.cross_entropy, [((x, y), y) for x, y in batches()], num_iter=10)
    assert both.loss == pytest.approx(found.loss)
    assert both.information is not None
    ignoring = [(x, torch.where(y == 0, -100, y)) for x, y in batches()]
    model = line()
    assert lr_range_test(model, sgd(model), F.cross_entropy, ignoring, num_iter=5).information is not None
    outside = [(x, -1 - y) for x, y in batches()]
    odd = lr_range_test(model, sgd(model), lambda out, y: out.square().mean(), outside, num_iter=5)
    assert odd.information is None


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        ({"start_lr": 0.0}, ValueError, "start_lr must be a finite number above 0, got 0.0"),
        ({"end_lr": math.inf}, ValueError, "end_lr must be a finite number above 0, got inf"),
        ({"end_lr": 1e-6}, ValueError, "start_lr must be below end_lr, got 1e-06 and 1e-06"),
        ({"num_iter": 2}, ValueError, "num_iter must pay for 3 rates of steps_per_lr steps, got 2 and 1"),
        ({"num_iter": 20, "restart": True}, ValueError, "must pay for 3 rates of steps_per_lr steps, got 20 and 10"),
        ({"num_iter": 9.0}, ValueError, "num_iter must be an integer, got 9.0"),
        ({"mode": "cosine"}, ValueError, "mode must be 'exp' or 'linear', got 'cosine'"),
        ({"smoothing": 1.0}, ValueError, r"smoothing must be a number in \[0, 1\), got 1.0"),
        ({"diverge_factor": 1.0}, ValueError, "diverge_factor must be a number above 1, got 1.0"),
        ({"accumulation_steps": 0}, ValueError, "accumulation_steps must be at least 1, got 0"),
        ({"restart": "no"}, ValueError, "restart must be True or False, got 'no'"),
        ({"autocast": "bf16"}, TypeError, r"autocast must be a dtype, such as torch\.bfloat16, or None, got 'bf16'"),
        ({"closure": True, "scaler": object()}, ValueError, "closure and scaler cannot be had together"),
        ({"classes": 2}, ValueError, r"logits must be \(N, 2\)"),
        ({"loader": []}, ValueError, "loader must give batches, got none$"),
        ({"loader": iter(batches())}, ValueError, "got none in pass 2; pass a list or a DataLoader"),
        ({"loader": [torch.zeros(3, 6)]}, TypeError, r"loader must give pairs \(inputs, targets\) .*got Tensor"),
        ({"loader": [(1, 2, 3)]}, TypeError, "got tuple of 3"),
        ({"loss_fn": lambda outputs, targets: outputs}, TypeError, r"loss_fn must return one number, .*got shape"),
        ({"loss_fn": 3}, TypeError, "loss_fn must be a function of outputs and targets, got 3"),
        ({"optimizer": "sgd"}, TypeError, r"optimizer must be a torch\.optim\.Optimizer, got str"),
        ({"model": "mlp"}, TypeError, r"model must be a torch\.nn\.Module, got str"),
    ],
)
def test_what_cannot_be_is_one_sentence(options, error, sentence):
    model = line()
    given = {"model": model, "optimizer": sgd(model), "loss_fn": F.cross_entropy, "loader": batches()} | options
    with pytest.raises(error, match=sentence):
        lr_range_test(given.pop("model"), given.pop("optimizer"), given.pop("loss_fn"), given.pop("loader"), **given)


def test_a_table_and_a_picture(tmp_path):
    model = line()
    found = lr_range_test(model, sgd(model), F.cross_entropy, batches(), num_iter=100)
    found.to_csv(tmp_path / "range.csv")
    with open(tmp_path / "range.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["lr", "loss", "smoothed", "information"]
    assert [tuple(map(float, row.values())) for row in rows] == list(
        zip(found.lr, found.loss, found.smoothed, found.information, strict=True)
    )
    figure = found.plot()
    assert [trace.name for trace in figure.data] == ["loss", "smoothed loss", "information"]
    assert tuple(figure.data[0].y) == found.loss
    assert figure.layout.shapes[0].x0 == found.bounds[0]
    assert figure.layout.xaxis.type == "log"
    nothing = LRRange((1e-3, 1e-2), (1.0, math.nan), (1.0, math.nan), None, 1e-2, None, None, "", 2, 0.0)
    assert len(nothing.plot().data) == 2


def test_a_curve_goes_on_from_its_state():
    whole, first, again = (RangeCurve(0.9, 4.0) for _ in range(3))
    points = [(0.1 * i, 3.0 - 0.1 * i, torch.eye(3).long() * (i + 1)) for i in range(20)]
    for point in points:
        whole.note(*point)
    for point in points[:7]:
        first.note(*point)
    again.load_state_dict(packed(first.state_dict()))
    for point in points[7:]:
        again.note(*point)
    assert equal(again.state_dict(), whole.state_dict())


def sweep_on_a_rank(rank):
    model, data = line(), batches(10, 6)
    own = data[rank::2]
    found = lr_range_test(model, sgd_of_the_mean(model), F.cross_entropy, own, num_iter=40)
    calls = []

    def failing(outputs, targets):
        calls.append(1)
        return F.cross_entropy(outputs, targets) + (math.nan if rank == 1 and len(calls) > 20 else 0.0)

    model = line()
    ended = lr_range_test(model, sgd(model), failing, own)
    return found, ended


def sweep_of_a_wrapped_model(rank):
    """Within DDP, whose gradients lie in its buckets, and within FSDP2: what is left, and the losses."""
    from torch.distributed.fsdp import fully_shard

    found = {}
    for wrap in ("ddp", "fsdp2"):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, C))
        if wrap == "ddp":
            called = nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
        else:
            called = fully_shard(model, mesh=torch.distributed.device_mesh.init_device_mesh("cpu", (2,)))
        optimizer = steepest.SNGM(called.parameters(), lr=0.1)
        own = batches(10, 6)[rank::2]

        def train(called=called, optimizer=optimizer, own=own):
            for x, y in own:
                optimizer.zero_grad()
                F.cross_entropy(called(x), y).backward()
                optimizer.step()

        def numbers(model=model, optimizer=optimizer):
            tensors = [*model.parameters(), *(p.grad for p in model.parameters())]
            tensors += [state["momentum_buffer"] for state in optimizer.state.values()]
            return [getattr(t, "to_local", lambda t=t: t)().detach().clone() for t in tensors]

        train()
        before = numbers()
        swept = lr_range_test(called, optimizer, F.cross_entropy, own, num_iter=30)
        kept = equal(numbers(), before)
        train()
        found[wrap] = kept, swept.loss, [float(t.norm()) for t in numbers()]
    return found


def test_a_model_within_ddp_or_fsdp2_is_left_as_it_was_and_sees_what_one_process_sees():
    first, second = on_ranks(sweep_of_a_wrapped_model)
    assert first["ddp"] == second["ddp"]
    for wrap in ("ddp", "fsdp2"):
        assert first[wrap][0]
        assert second[wrap][0]
        assert first[wrap][1] == second[wrap][1] == pytest.approx(first["ddp"][1], rel=1e-4)
        assert all(math.isfinite(norm) for norm in first[wrap][2])


def sgd_of_the_mean(model):
    """SGD on the mean of the ranks' gradients, as DDP makes it."""
    optimizer = sgd(model)

    def average(*_):
        for p in model.parameters():
            torch.distributed.all_reduce(p.grad)
            p.grad /= 2

    optimizer.register_step_pre_hook(average)
    return optimizer


def test_two_ranks_see_one_curve_and_end_together():
    (first, ended), (second, also) = on_ranks(sweep_on_a_rank)
    data = batches(10, 6)
    whole = [(torch.cat([a, c]), torch.cat([b, d])) for (a, b), (c, d) in zip(data[::2], data[1::2], strict=True)]
    model = line()
    alone = lr_range_test(model, sgd(model), F.cross_entropy, whole, num_iter=40)
    assert first.loss == second.loss == pytest.approx(alone.loss, rel=1e-5)
    assert first.information == second.information == pytest.approx(alone.information)
    assert first.suggestion == second.suggestion == pytest.approx(alone.suggestion)
    assert ended.lr == also.lr
    assert len(ended.lr) == 11
    assert ended.diverged_at == ended.lr[-1]

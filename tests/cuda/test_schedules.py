"""Counts and the range test on a GPU: nothing waits, the numbers are the CPU's, everything is left as it was."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import steepest
from steepest.schedules import ConfusionCounts, MutualInformationLR, layer_groups, lr_range_test


def network(device="cuda"):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5))
    return model.to(device)


def batches(device="cuda", count=4):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(count, 16, 3, 8, 8, generator=generator)
    y = (x[..., 0, 0, 0] > 0).long() + 2 * (x[..., 1, 0, 0] > 0).long()
    return list(zip(x.to(device), y.to(device), strict=True))


def test_an_update_never_waits_and_counts_what_the_cpu_counts(never_waiting):
    model, other = network(), network("cpu")
    with ConfusionCounts(5, model=model, ignore_index=-1) as seen, ConfusionCounts(5, model=other) as on_cpu:
        for (x, y), (x_cpu, y_cpu) in zip(batches(), batches("cpu"), strict=True):
            logits = model(x)
            with never_waiting():
                seen.update(logits, y)
            on_cpu.update(other(x_cpu), y_cpu)
    assert seen.table().device.type == "cuda"
    assert torch.equal(seen.table().cpu().sum(1), on_cpu.table().sum(1))
    assert (seen.table().cpu() - on_cpu.table()).abs().sum() <= 2  # a tie may be rounded otherwise
    assert list(seen.tables()) == list(on_cpu.tables())


def test_the_rate_moves_by_counts_of_a_gpu_and_its_tensor_is_filled():
    model = network()
    optimizer = torch.optim.SGD(layer_groups(model), lr=torch.tensor(0.1, device="cuda"), foreach=True)
    held = [group["lr"] for group in optimizer.param_groups]
    scheduler = MutualInformationLR(optimizer, 1e-3, 0.1, layer_wise=True, threshold=10.0)
    for _ in range(2):
        with ConfusionCounts(5, model=model) as seen:
            for x, y in batches():
                seen.update(model(x), y)
        scheduler.step(seen)
    assert all(group["lr"] is lr for group, lr in zip(optimizer.param_groups, held, strict=True))
    assert all(float(lr) < 0.1 for lr in held)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("make", [torch.optim.SGD, torch.optim.AdamW, steepest.SNGM, steepest.LARS])
def test_the_range_test_leaves_a_gpu_as_it_was(make, scaled):
    model, data = network(), batches()
    optimizer = make(model.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cuda", init_scale=64.0) if scaled else None
    for x, y in data:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    before = copy.deepcopy((model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()]))
    random = torch.cuda.get_rng_state()
    found = lr_range_test(
        model, optimizer, F.cross_entropy, data, num_iter=30, scaler=scaler, autocast=torch.float16 if scaled else None
    )
    after = (model.state_dict(), optimizer.state_dict(), [p.grad for p in model.parameters()])
    torch.testing.assert_close(after, before, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.cuda.get_rng_state(), random)
    assert len(found.information) == len(found.lr)

"""A workload that trains in milliseconds, and methods that misbehave: a user's file, as a study sees it."""

import os
import signal
import time

import torch
from torch import nn

from steepest.compare import Method, Range, Workload
from steepest.data import Split, Splits


def two_clouds(data_dir):
    generator = torch.Generator().manual_seed(3)
    targets = torch.arange(240) % 2
    inputs = torch.randn(240, 4, generator=generator) + 1.5 * targets[:, None]
    cuts = (slice(0, 120), slice(120, 180), slice(180, 240))
    return Splits(*(Split(inputs[cut], targets[cut]) for cut in cuts))


clouds = Workload(
    name="clouds",
    data=two_clouds,
    model=lambda: nn.Linear(4, 2),
    batch_size=20,
    epochs=3,
    target=0.7,
)
marked = Workload(
    name="<img src=x onerror=alert(1)>|*_",
    data=two_clouds,
    model=lambda: nn.Linear(4, 2),
    batch_size=20,
    epochs=3,
    target=0.5,
    metric=lambda outputs, targets: nn.functional.cross_entropy(outputs, targets),
    metric_name="</script><script>alert(2)</script>",
    higher_is_better=False,
    percent=False,
)


class Exploding(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.data.fill_(float("nan"))


class Raising(torch.optim.SGD):
    def step(self, closure=None):
        raise ValueError("planted in step")


class Dying(torch.optim.SGD):
    def step(self, closure=None):
        os.kill(os.getpid(), signal.SIGKILL)


class Slow(torch.optim.SGD):
    def step(self, closure=None):
        time.sleep(0.01)
        super().step(closure)


LR = {"lr": Range(1e-3, 1.0)}
good = Method("good", torch.optim.SGD, space=LR)
twin = Method("twin", torch.optim.SGD, space=LR)
slow = Method("slow", Slow, space=LR)
slow_twin = Method("slow-twin", Slow, space=LR)
exploding = Method("exploding", Exploding, space=LR)
raising = Method("raising", Raising, space=LR)
dying = Method("dying", Dying, space=LR)
named_badly = Method("<b>bold</b>|</script>", torch.optim.SGD, space=LR, description="<i>'\"&")

"""A workload that trains in milliseconds, and methods that misbehave: a user's file, as a study sees it."""

import os
import signal
import time
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import TensorDataset

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


nan_metric = Workload(
    name="nan-metric",
    data=two_clouds,
    model=lambda: nn.Linear(4, 2),
    batch_size=20,
    epochs=3,
    target=0.7,
    metric=lambda outputs, targets: float("nan"),
)


def datasets_of(data_dir):
    """The same as map-style datasets."""
    return [TensorDataset(split.inputs, split.targets) for split in two_clouds(data_dir)]


as_datasets = Workload(
    name="as-datasets", data=datasets_of, model=lambda: nn.Linear(4, 2), batch_size=20, epochs=3, target=0.7
)


class Exploding(torch.optim.SGD):
    def step(self, closure=None):
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                p.data.fill_(float("nan"))


class Late(torch.optim.SGD):
    """Does nothing wrong in the one step that is tried before a study."""

    steps = 0

    def step(self, closure=None):
        self.steps += 1
        if self.steps > 1:
            self.fail()

    def fail(self): ...


class Raising(Late):
    def fail(self):
        raise ValueError("planted in step")


class Telling(Late):
    """Fails with the variables that a worker was started with."""

    def fail(self):
        raise ValueError({name: value for name, value in os.environ.items() if name.startswith(("MALLOC", "OMP"))})


class Dying(Late):
    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Dying7(torch.optim.SGD):
    """Writes a line for every step into TINY_STEPS, and kills its process at the seventh line."""

    def step(self, closure=None):
        super().step(closure)
        path = Path(os.environ["TINY_STEPS"])
        with path.open("a") as file:
            file.write("step\n")
        if path.read_text().count("\n") == 7:
            os.kill(os.getpid(), signal.SIGKILL)


class Held(torch.optim.SGD):
    """Stands still while TINY_HOLD, "records.jsonl:count", says that so many runs are finished."""

    def step(self, closure=None):
        super().step(closure)
        while (hold := os.environ.get("TINY_HOLD")) and self.finished(hold) >= int(hold.rpartition(":")[2]):
            time.sleep(0.02)

    @staticmethod
    def finished(hold):
        path = Path(hold.rpartition(":")[0])
        return path.read_text().count("\n") if path.exists() else 0


class Slow(torch.optim.SGD):
    def step(self, closure=None):
        time.sleep(0.01)
        super().step(closure)


LR = {"lr": Range(1e-3, 1.0)}
two_dimensions = Method(
    "two-dimensions", torch.optim.SGD, space={**LR, "momentum": Range(0.0, 0.95, log=False)}, fixed={"nesterov": False}
)
good = Method("good", torch.optim.SGD, space=LR)
whole = Method("whole", torch.optim.SGD, space={"lr": Range(0.01, 1.0)}, batches_per_step="epoch")
twin = Method("twin", torch.optim.SGD, space=LR)
slow = Method("slow", Slow, space=LR)
held = Method("held", Held, space=LR)
held_twin = Method("held-twin", Held, space=LR)
exploding = Method("exploding", Exploding, space=LR)
raising = Method("raising", Raising, space=LR)
telling = Method("telling", Telling, space=LR)
dying_7 = Method("dying-7", Dying7, space=LR)
dying = Method("dying", Dying, space=LR)
named_badly = Method("<b>bold</b>|</script>", Held, space=LR, description="<i>'\"&")

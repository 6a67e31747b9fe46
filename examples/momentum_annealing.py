"""Does momentum help, or is it a larger learning rate? Five methods for one comparison:

    steepest compare fashion-cnn --data-dir DIR --schedule constant --trials 1 --seeds 5 \
      --methods $(python examples/momentum_annealing.py)

At equal lr: `plain`, `momentum`, and `momentum` annealed from the middle of the run on, by its lr times 1 - momentum or
by its momentum to 0. At equal lr / (1 - momentum): `plain_effective` beside `momentum`. Every method's lr is one value,
not searched: its range is as narrow as a range may be. Prints the methods, as the command takes them.
`docs/theory/momentum.md` has what theory says of them.
"""

from pathlib import Path
from typing import Any

import torch
from torch.optim import Optimizer

from steepest.compare import Method, Range
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.schedule import SCHEDULES, Schedule

LR, MOMENTUM = 0.01, 0.9


class Annealing:
    """Multiplies one value of all groups by a factor from the middle of a run on."""

    name, factor = "lr", 1.0

    def __init__(self, optimizer: Optimizer, steps: int) -> None:
        self.optimizer, self.middle = optimizer, steps // 2
        self.before = [group[self.name] for group in optimizer.param_groups]

    def before_step(self, step: int) -> None:
        for group, value in zip(self.optimizer.param_groups, self.before, strict=True):
            group[self.name] = value * (self.factor if step >= self.middle else 1.0)

    def observe(self, seen: Progress) -> None:
        pass

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        pass


class LrAnnealing(Annealing):
    factor = 1 - MOMENTUM


class MomentumAnnealing(Annealing):
    name, factor = "momentum", 0.0


def method(name: str, lr: float, momentum: float, schedule: Schedule = SCHEDULES["constant"]) -> Method:
    return Method(
        name,
        torch.optim.SGD,
        space={"lr": Range(lr * (1 - 1e-9), lr * (1 + 1e-9))},
        fixed={"momentum": momentum},
        schedule=schedule,
        description=f"torch.optim.SGD, lr {lr:g}, momentum {momentum:g}; lr {schedule.description}",
    )


plain = method("plain", LR, 0.0)
momentum = method("momentum", LR, MOMENTUM)
lr_annealed = method(
    "lr-annealed", LR, MOMENTUM, Schedule("lr-annealing", "a tenth from the middle on", controller=LrAnnealing)
)
momentum_annealed = method(
    "momentum-annealed", LR, MOMENTUM,
    Schedule("momentum-annealing", "constant, momentum 0 from the middle on", controller=MomentumAnnealing),
)  # fmt: skip
plain_effective = method("plain-effective", LR / (1 - MOMENTUM), 0.0)

if __name__ == "__main__":
    names = ("plain", "momentum", "lr_annealed", "momentum_annealed", "plain_effective")
    print(",".join(f"{Path(__file__).resolve()}:{name}" for name in names))

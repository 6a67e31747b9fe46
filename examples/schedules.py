"""Five optimizers at constant, step and cosine learning rates, beside learning rates by mutual information:

    steepest compare fashion-cnn mnist-mlp --data-dir DIR --trials 8 --seeds 5 \
      --methods sgd,sgd-mi,sgd-mi-layer,$(python examples/schedules.py)

Prints the methods of this file, as the command takes them. `docs/methods/mutual_information_lr.md` has what came of it.
"""

import dataclasses
from pathlib import Path

import torch

from steepest.compare import Method, Range
from steepest.training.builtin.methods import UPDATE_RULES
from steepest.training.definitions.schedule import SCHEDULES

RMSPROP = Method(
    "rmsprop",
    torch.optim.RMSprop,
    space={"lr": Range(1e-4, 1e-1)},
    description="torch.optim.RMSprop",
)
OPTIMIZERS = [*(UPDATE_RULES[name] for name in ("sgd", "adam", "lars", "adamw")), RMSPROP]
METHODS = {
    f"{method.name}_{schedule}": dataclasses.replace(
        method,
        name=f"{method.name}-{schedule}",
        schedule=SCHEDULES[schedule],
        description=f"{method.description}; lr {SCHEDULES[schedule].description}",
    )
    for method in OPTIMIZERS
    for schedule in ("constant", "step", "cosine")
}
globals().update(METHODS)

if __name__ == "__main__":
    print(",".join(f"{Path(__file__).resolve()}:{name}" for name in METHODS))

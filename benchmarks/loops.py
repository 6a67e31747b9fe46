"""The time of a search beside what people use instead: a loop over a DataLoader with Optuna, and Lightning with Optuna.

    python benchmarks/loops.py [--trials 8] [--rounds 3]

Each trains digits-mlp by SGD with momentum: as many trials of the lr as are asked for, then the best on one more seed,
30 epochs each with a validation after every epoch, one run at a time, one thread. The study also checks workload and
method before it begins, keeps checkpoints and records of all runs and writes its report's page, and its time has the
start of its worker process in it; the others run in this process. They take turns, and the medians are compared. Prints
seconds and ratios, asserts nothing. Needs lightning and optuna.
"""

import argparse
import logging
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

os.environ["OMP_NUM_THREADS"] = "1"

import lightning
import optuna
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from steepest.compare import Study, accuracy
from steepest.data import Splits
from steepest.training.builtin import WORKLOADS

WORKLOAD = WORKLOADS["digits-mlp"]
EPOCHS, SIZE = WORKLOAD.epochs, WORKLOAD.batch_size


def loaders(splits: Splits) -> tuple[DataLoader[tuple[Tensor, ...]], DataLoader[tuple[Tensor, ...]]]:
    train, validation = (TensorDataset(s.inputs, s.targets) for s in (splits.train, splits.validation))
    return (
        DataLoader(train, batch_size=SIZE, shuffle=True, drop_last=True),
        DataLoader(validation, batch_size=len(validation)),
    )


def plain_loop(splits: Splits, lr: float, seed: int) -> float:
    torch.manual_seed(seed)
    train, validation = loaders(splits)
    model, found = WORKLOAD.model(), 0.0
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-9, EPOCHS * len(train))
    for _ in range(EPOCHS):
        model.train()
        for inputs, targets in train:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        model.eval()
        with torch.no_grad():
            found = statistics.fmean(accuracy(model(x), y).item() for x, y in validation)
    return found


class Module(lightning.LightningModule):
    def __init__(self, lr: float, steps: int) -> None:
        super().__init__()
        self.model, self.lr, self.steps = WORKLOAD.model(), lr, steps

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        self.log("accuracy", accuracy(self.model(batch[0]), batch[1]))

    def configure_optimizers(self) -> dict[str, object]:  # type: ignore[override]
        optimizer = torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 1e-9, self.steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def by_lightning(splits: Splits, lr: float, seed: int) -> float:
    lightning.seed_everything(seed, verbose=False)
    train, validation = loaders(splits)
    trainer = lightning.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, num_sanity_val_steps=0,
    )  # fmt: skip
    trainer.fit(Module(lr, EPOCHS * len(train)), train, validation)
    return float(trainer.callback_metrics["accuracy"])


def searched(run: Callable[[Splits, float, int], float], splits: Splits, trials: int) -> float:
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.QMCSampler(seed=0))
    study.optimize(lambda trial: run(splits, trial.suggest_float("lr", 1e-3, 1.0, log=True), 0), n_trials=trials)
    return run(splits, study.best_params["lr"], 1)


def by_study(trials: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        study = Study("digits-mlp", methods=["sgd"], trials=trials, seeds=1, jobs=1, device="cpu", out=folder)
        study.run(progress=False)
        study.report()
        return float(len(study.records()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    splits = WORKLOAD.data(None)
    if not isinstance(splits, Splits):
        raise SystemExit("digits-mlp has tensors")
    ways: dict[str, Callable[[], float]] = {
        "steepest compare": lambda: by_study(asked.trials),
        "DataLoader loop + Optuna": lambda: searched(plain_loop, splits, asked.trials),
        "Lightning + Optuna": lambda: searched(by_lightning, splits, asked.trials),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(asked.rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            took[name].append(time.perf_counter() - began)
    base = statistics.median(took["steepest compare"])
    for name, seconds in took.items():
        middle = statistics.median(seconds)
        print(f"{name:26}{middle:8.1f} s{middle / base:8.2f} times   ({min(seconds):.1f} to {max(seconds):.1f} s)")


if __name__ == "__main__":
    main()

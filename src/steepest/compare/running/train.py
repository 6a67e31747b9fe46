"""One run: a model, an optimizer, a seed and a budget of gradient evaluations, from random weights to a result."""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest.compare.estimator import Batch, attached
from steepest.compare.method import Method
from steepest.compare.schedule import SCHEDULES, Schedule
from steepest.compare.workload import Workload
from steepest.data import Split, Splits
from steepest.diagnostics import largest_hessian_eigenvalue

EVALUATION_BATCH = 2000
SHARPNESS_SAMPLES = 2000
SHARPNESS_BATCH = 250  # a graph that is differentiated twice is kept for each


@dataclass
class Curve:
    """What was seen at each evaluation; lists of equal length."""

    gradient_evaluations: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)  # mean since the evaluation before
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)


@dataclass
class Outcome:
    """The result of a run.

    ``gradient_evaluations`` counts gradients of one batch; ``samples`` the training samples behind them, each as often
    as it was evaluated; ``evaluations_to_target`` is ``None`` if the validation metric never reached the target.
    ``sharpness`` is ``None`` if it was not asked for or could not be measured; ``sharpness_note`` says why, or that the
    value is only near.
    """

    diverged: bool
    gradient_evaluations: int
    samples: int
    evaluations_to_target: int | None
    validation_loss: float | None
    validation_metric: float | None
    test_loss: float | None
    test_metric: float | None
    curve: Curve
    seconds: float
    sharpness: float | None = None
    sharpness_note: str | None = None


def steps_per_epoch(train_size: int, batch_size: int) -> int:
    """Whole batches in an epoch; the samples left over are not used in that epoch.

    Raises:
        InputError: not one batch fits.
    """
    if batch_size > train_size:
        raise InputError(f"batch size must be at most the {train_size} training samples, got {batch_size}")
    return train_size // batch_size


def steps_in(budget: int, method: Method) -> int:
    """Steps that a method can pay for.

    Raises:
        InputError: not one.
    """
    if budget < method.cost:
        raise InputError(
            f"{method.name} pays {method.cost} gradient evaluations a step, and a run has {budget}; give more epochs "
            "or a smaller batch size"
        )
    return budget // method.cost


def train(
    workload: Workload,
    method: Method,
    splits: Splits,
    hyperparameters: Mapping[str, float],
    *,
    seed: int,
    epochs: int,
    batch_size: int,
    with_test: bool,
    schedule: Schedule = SCHEDULES["linear"],
    sharpness_samples: int = 0,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Outcome:
    """Train once and measure.

    The budget is ``epochs`` times the batches of an epoch, counted in gradient evaluations: a method that pays two
    a step takes half the steps, one that evaluates the two halves of a batch at two points pays one. The learning rate
    follows ``schedule``. The seed fixes initial weights, dropout and the order of the data, whatever the method;
    estimators draw from generators of their own. Validation follows each epoch's worth of evaluations; the run ends
    there as diverged if the loss or the metric is no longer finite. The test data is looked at once, at the end, and
    only ``with_test``.

    Args:
        splits: on the device to train on; the model goes there too.
        sharpness_samples: measure the sharpness of the loss over so many training samples at the end, 0 for not at all.
            It is charged neither in evaluations nor in seconds.
        progress: called with the finished fraction of the run after each validation.

    Note:
        Seeds the global generators of torch, numpy and random.
    """
    started = time.perf_counter()
    _seed_everything(seed)
    device = splits.train.inputs.device
    model = workload.model().to(device)
    optimizer = method.build(model, hyperparameters)
    per_epoch = steps_per_epoch(len(splits.train), batch_size)
    cost = method.cost
    steps = steps_in(epochs * per_epoch, method)
    peaks = [group["lr"] for group in optimizer.param_groups]
    batches = _batches(splits.train, batch_size, torch.Generator().manual_seed(seed))

    curve = Curve()
    reached: int | None = None
    diverged = False
    spent, next_evaluation = 0, per_epoch
    loss_sum, loss_count = torch.zeros((), device=device), 0
    model.train()
    with attached(method.estimators, model, optimizer, seed) as take:
        for step in range(1, steps + 1):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * schedule.factor((step - 1) / steps)
            batch = Batch(model, workload.loss, *next(batches))

            def closure(batch: Batch = batch) -> Tensor:
                optimizer.zero_grad(set_to_none=True)
                return take(batch)

            if method.closure:
                loss = torch.as_tensor(optimizer.step(closure))  # type: ignore[arg-type]
            else:
                loss = closure()
                optimizer.step()
            loss_sum += loss.detach()
            loss_count += 1
            spent += cost
            if spent < next_evaluation and step < steps:
                continue
            next_evaluation += per_epoch
            validation_loss, validation_metric = evaluate(workload, model, splits.validation)
            curve.gradient_evaluations.append(spent)
            curve.train_loss.append(loss_sum.item() / loss_count)
            curve.validation_loss.append(validation_loss)
            curve.validation_metric.append(validation_metric)
            loss_sum.zero_()
            loss_count = 0
            if not all(map(math.isfinite, (curve.train_loss[-1], validation_loss, validation_metric))):
                diverged = True
                break
            if reached is None and _reaches(workload, validation_metric):
                reached = spent
            progress(step / steps)

    test_loss: float | None = None
    test_metric: float | None = None
    if with_test and not diverged:
        test_loss, test_metric = evaluate(workload, model, splits.test)
        if not (math.isfinite(test_loss) and math.isfinite(test_metric)):
            diverged, test_loss, test_metric = True, None, None
    seconds = time.perf_counter() - started
    sharpness: float | None = None
    sharpness_note: str | None = None
    if sharpness_samples and not diverged:
        sharpness, sharpness_note = measure_sharpness(workload, model, splits.train, sharpness_samples)
    return Outcome(
        diverged=diverged,
        gradient_evaluations=spent,
        samples=spent * batch_size,
        evaluations_to_target=reached,
        validation_loss=None if diverged else curve.validation_loss[-1],
        validation_metric=None if diverged else curve.validation_metric[-1],
        test_loss=test_loss,
        test_metric=test_metric,
        curve=curve,
        seconds=seconds,
        sharpness=sharpness,
        sharpness_note=sharpness_note,
    )


@torch.no_grad()
def evaluate(workload: Workload, model: nn.Module, split: Split) -> tuple[float, float]:
    """Mean loss and mean metric over a split, in evaluation mode; the model is left in training mode."""
    model.eval()
    loss_sum = metric_sum = 0.0
    for start in range(0, len(split), EVALUATION_BATCH):
        inputs, targets = (t[start : start + EVALUATION_BATCH] for t in (split.inputs, split.targets))
        outputs = model(inputs)
        loss_sum += float(workload.loss(outputs, targets)) * len(inputs)
        metric_sum += float(workload.metric(outputs, targets)) * len(inputs)
    model.train()
    return loss_sum / len(split), metric_sum / len(split)


def measure_sharpness(
    workload: Workload, model: nn.Module, split: Split, samples: int
) -> tuple[float | None, str | None]:
    """Largest eigenvalue of the Hessian of the loss over ``samples`` of a split, and what is amiss with it."""
    try:
        found = largest_hessian_eigenvalue(model, workload.loss, batches_for_sharpness(split, samples))
    except RuntimeError as error:  # a loss that is not smooth there: no reason to lose the run
        return None, str(error)
    if not found.converged:
        return found.value, f"not converged after {found.iterations} iterations, residual {found.residual:.2g}"
    return found.value, None


def batches_for_sharpness(split: Split, samples: int) -> list[tuple[Tensor, Tensor]]:
    """So many samples of a split, always the same: drawn at random, since data may come sorted by class."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:samples].to(split.inputs.device)
    return [(split.inputs[chunk], split.targets[chunk]) for chunk in torch.split(order, SHARPNESS_BATCH)]


def _reaches(workload: Workload, metric: float) -> bool:
    return metric >= workload.target if workload.higher_is_better else metric <= workload.target


def _batches(split: Split, batch_size: int, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches, each epoch in a new random order; the last incomplete batch of an epoch is dropped."""
    while True:
        order = torch.randperm(len(split), generator=generator).to(split.inputs.device)
        for chunk in torch.split(order, batch_size):
            if len(chunk) == batch_size:
                yield split.inputs[chunk], split.targets[chunk]


def _seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)

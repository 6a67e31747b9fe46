"""One run: a model, an optimizer, a seed and a budget of gradient evaluations, from random weights to a result."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from steepest._errors import InputError
from steepest._version import __version__
from steepest.compare.method import Method
from steepest.compare.running.batches import steps_per_epoch as steps_per_epoch
from steepest.compare.running.checkpoint import Checkpoint, State
from steepest.compare.running.ranks import ALONE, Ranks
from steepest.compare.running.run import Curve, Run, begun, evaluated, initial_weights
from steepest.compare.running.run import evaluate as evaluate
from steepest.compare.schedule import SCHEDULES, Schedule
from steepest.compare.workload import Workload
from steepest.data import Split, Splits
from steepest.diagnostics import largest_hessian_eigenvalue

SHARPNESS_SAMPLES = 2000
SHARPNESS_BATCH = 250  # a graph that is differentiated twice is kept for each


@dataclass
class Outcome:
    """The result of a run.

    ``gradient_evaluations`` counts gradients of one batch; ``samples`` the training samples behind them, each as often
    as it was evaluated; ``evaluations_to_target`` is ``None`` if the validation metric never reached the target.
    ``sharpness`` is ``None`` if it was not asked for or could not be measured; ``sharpness_note`` says why, or that the
    value is only near. ``pruned``: it was stopped before its budget was spent, and was not tested. ``weights``: it
    began from these, as :func:`~.run.initial_weights` has them.
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
    pruned: bool = False
    weights: str | None = None


@dataclass(frozen=True)
class Progress:
    """What is known after a validation; ``fraction`` of the run is finished."""

    fraction: float
    gradient_evaluations: int
    validation_metric: float


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
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], object] = lambda seen: None,
    ranks: Ranks = ALONE,
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
        checkpoint: go on from what it holds of this very run, and write to it between steps when it is due. On the CPU
            the outcome is that of an uninterrupted run to the last bit, but for the seconds, which add up. The file
            stays: remove it once the outcome is safe.
        progress: called after each validation; a true answer prunes the run there.
        ranks: the processes that do this run together: each calls this function alike, and takes its share of every
            batch. What rank 0 is answered by ``progress`` counts, and so does its outcome. Checkpoints are then written
            after validations.

    Note:
        Seeds the global generators of torch, numpy and random.
    """
    started = time.perf_counter()
    steps = steps_in(epochs * steps_per_epoch(len(splits.train), batch_size), method)
    identity = _identity(workload, method, splits, hyperparameters, seed, epochs, batch_size, schedule, ranks)
    pruned = False
    with ExitStack() as held:

        def begin() -> Run:
            return held.enter_context(begun(workload, method, splits, hyperparameters, seed, batch_size, ranks))

        run = begin()
        weights = initial_weights(run.model, ranks)
        saved = _saved(checkpoint, identity, ranks) if checkpoint else None
        if saved and not all(ranks.gathered(run.goes_on_from(saved))):
            held.close()
            run = begin()
        started -= run.seconds
        while run.step < steps:
            run.take_step(schedule.factor(run.step / steps))
            validates = run.validation_is_due or run.step == steps
            if validates:
                run.validate(splits.validation)
                if run.diverged:
                    break
                seen = Progress(run.step / steps, run.spent, run.curve.validation_metric[-1])
                asked = time.perf_counter()
                stop = ranks.agree(bool(progress(seen)))
                started += time.perf_counter() - asked  # it is not the run that takes the time of an answer
                if stop and run.step < steps:
                    pruned = True
                    break
            if checkpoint and (validates or ranks.size == 1) and ranks.agree(checkpoint.due()):
                run.seconds = time.perf_counter() - started
                if all(ranks.gathered(run.is_resumable)):
                    checkpoint.save(identity, run.state_dict())
                else:
                    checkpoint.give_up()

    curve, diverged = run.curve, run.diverged
    test_loss: float | None = None
    test_metric: float | None = None
    if with_test and not diverged and not pruned:
        test_loss, test_metric = run.evaluate(splits.test)
        if not (math.isfinite(test_loss) and math.isfinite(test_metric)):
            diverged, test_loss, test_metric = True, None, None
    seconds = time.perf_counter() - started
    sharpness: float | None = None
    sharpness_note: str | None = None
    if sharpness_samples and not diverged and not pruned:
        with evaluated(run.optimizer):
            sharpness, sharpness_note = measure_sharpness(workload, run.model, splits.train, sharpness_samples)
    return Outcome(
        diverged=diverged,
        gradient_evaluations=run.spent,
        samples=run.spent * batch_size,
        evaluations_to_target=run.reached,
        validation_loss=None if diverged else curve.validation_loss[-1],
        validation_metric=None if diverged else curve.validation_metric[-1],
        test_loss=test_loss,
        test_metric=test_metric,
        curve=curve,
        seconds=seconds,
        sharpness=sharpness,
        sharpness_note=sharpness_note,
        pruned=pruned,
        weights=weights,
    )


def _saved(checkpoint: Checkpoint, identity: str, ranks: Ranks) -> State | None:
    """What this rank has saved, if all ranks have saved it after the same step."""
    saved = checkpoint.load(identity)
    steps = ranks.gathered(saved and saved["step"])
    return saved if steps.count(steps[0]) == len(steps) else None


def _identity(
    workload: Workload,
    method: Method,
    splits: Splits,
    hyperparameters: Mapping[str, float],
    seed: int,
    epochs: int,
    batch_size: int,
    schedule: Schedule,
    ranks: Ranks,
) -> str:
    """What a checkpoint must share with a run that goes on from it."""
    sizes = [tuple(split.inputs.shape) for split in splits]
    run = [workload.name, method.name, dict(hyperparameters), seed, epochs, batch_size, schedule.name, sizes]
    versions = [__version__, torch.__version__, splits.train.inputs.device.type, ranks.name]
    return hashlib.sha256(json.dumps([run, versions], sort_keys=True).encode()).hexdigest()


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

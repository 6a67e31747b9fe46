"""One run: a model, an optimizer, a seed and a budget of gradient evaluations, from random weights to a result."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from torch import nn

from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.outcome import Outcome, Progress
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.loop.beginning import begun, initial_weights
from steepest.training.loop.checkpoint import Checkpoint, State
from steepest.training.loop.functions import train_function
from steepest.training.loop.run import Run


def train(
    assignment: Assignment,
    *,
    with_test: bool,
    instruments: Sequence[Instrument] = (),
    checkpoint: Checkpoint | None = None,
    progress: Callable[[Progress], object] = lambda seen: None,
    ranks: Ranks = ALONE,
    trained: Callable[[nn.Module], object] | None = None,
) -> Outcome:
    """Train once and measure.

    Validation follows each epoch's worth of gradient evaluations and the end of every task of a sequence, always on all
    tasks: loss and metric are the mean over them. The run ends there as diverged if the loss or the metric is no longer
    finite. The test data is looked at once, at the end, and only ``with_test``.

    Args:
        instruments: what is measured beside, at every validation or at the end of a run that was neither pruned nor
            diverged. It is charged neither in evaluations nor in seconds. Of several ranks the first one measures.
        checkpoint: go on from what it holds of this very run, and write to it between steps when it is due. On the CPU
            the outcome is that of an uninterrupted run to the last bit, but for the seconds, which add up. The file
            stays: remove it once the outcome is safe.
        progress: called after each validation; a true answer prunes the run there.
        ranks: the processes that do this run together: each calls this function alike, and takes its share of every
            batch. What rank 0 is answered by ``progress`` counts, and so does its outcome. Checkpoints are then written
            after validations.
        trained: called in the end with the model, in evaluation mode and at the weights that the optimizer has for
            evaluation; not of a run that was pruned or has diverged.

    Raises:
        InputError: the budget does not pay for one step, or the method or the workload cannot be used.

    Note:
        Seeds the global generators of torch, numpy and random.
    """
    if assignment.workload.function is not None:
        if checkpoint:
            checkpoint.give_up()
        return train_function(assignment, with_test=with_test, instruments=instruments, progress=progress, ranks=ranks)
    started = time.perf_counter()
    instruments = instruments if ranks.rank == 0 else ()
    identity = assignment.identity(ranks, [instrument.name for instrument in instruments])
    pruned = False
    with ExitStack() as held:

        def begin() -> Run:
            return held.enter_context(begun(assignment, ranks))

        run = begin()
        weights = initial_weights(run.model, ranks)
        saved = _load_saved(checkpoint, identity, ranks) if checkpoint else None
        if saved and not all(ranks.gathered(run.resume_from(saved))):
            held.close()
            run = begin()
        started -= run.seconds
        while not run.is_over:
            run.take_step()
            if run.task_is_over:
                run.finish_task()
            validates = run.validation_is_due
            if validates:
                run.validate()
                started += run.measure(instruments, "validation")
                if run.diverged:
                    break
                seen = run.progress()
                run.controller.observe(seen)
                asked = time.perf_counter()
                stop = ranks.agree(bool(progress(seen)))
                started += time.perf_counter() - asked  # it is not the run that takes the time of an answer
                if stop and not run.is_over:
                    pruned = True
                    break
            if run.task_is_over and not run.is_over:
                run.end_task()
            if checkpoint and (validates or ranks.size == 1) and ranks.agree(checkpoint.due()):
                run.seconds = time.perf_counter() - started
                if all(ranks.gathered(run.is_resumable)):
                    checkpoint.save(identity, run.state_dict())
                else:
                    checkpoint.give_up()

    curve, diverged = run.curve, run.diverged
    test_loss: float | None = None
    test_metric: float | None = None
    test_metrics: list[float] = []
    others: dict[str, float] = {}
    if with_test and not diverged and not pruned:
        (test_loss, test_metric, others), test_metrics = run.evaluate_tasks("test")
        if not (math.isfinite(test_loss) and math.isfinite(test_metric)):
            diverged, test_loss, test_metric, test_metrics = True, None, None, []
            others = {}
    best_test = run.test_best() if with_test and not diverged and not pruned else None
    seconds = time.perf_counter() - started
    if not diverged and not pruned:
        run.measure(instruments, "end")
        if trained is not None:
            with run.evaluated():
                run.model.eval()
                trained(run.model)
    return Outcome(
        diverged=diverged,
        gradient_evaluations=run.spent,
        samples=run.spent * assignment.batch_size,
        evaluations_to_target=run.reached,
        validation_loss=None if diverged else curve["validation_loss"][-1],
        validation_metric=None if diverged else curve["validation_metric"][-1],
        test_loss=test_loss,
        test_metric=test_metric,
        curve=curve,
        seconds=seconds,
        task_matrix=run.matrix or None,
        test_metrics=test_metrics if len(assignment.legs) > 1 else None,
        measures=run.measures,
        notes=run.notes,
        pruned=pruned,
        weights=weights,
        other_metrics=others,
        best_at=None if run.best is None else run.best.at,
        best_test_metric=best_test,
    )


def _load_saved(checkpoint: Checkpoint, identity: str, ranks: Ranks) -> State | None:
    """Load what this rank has saved, if all ranks have saved it after the same step."""
    saved = checkpoint.load(identity)
    steps = ranks.gathered(saved and saved["step"])
    return saved if steps.count(steps[0]) == len(steps) else None

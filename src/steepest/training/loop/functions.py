"""A run of a workload that is one function of the user's: what the function is given, and what becomes of it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.instrument import Instrument
from steepest.training.definitions.method import Method
from steepest.training.definitions.outcome import Curve, Outcome, Progress
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULE_NOTE, Controller
from steepest.training.definitions.workload import Workload
from steepest.training.loop.beginning import checked_optimizer, initial_weights
from steepest.training.loop.evaluate import has_modes, reaches
from steepest.training.process.randomness import seed_generators


class _RunIsOver(BaseException):
    """Leave the user's function: no ``except Exception`` of its own holds it back."""


class FunctionRun:
    """One run, as the function of :meth:`Workload.from_function` is given it.

    Attributes:
        seed: of the run, by which torch, NumPy and random are seeded already.
        device: to train on.
        steps: of the optimizer; the function takes them all.
        hyperparameters: the values of the search that the optimizer is made with.
    """

    def __init__(self, assignment: Assignment, progress: Callable[[Progress], object], most: int | None = None) -> None:
        self.seed = assignment.seed
        self.device: torch.device = assignment.splits.train.inputs.device
        self.steps = assignment.steps
        self.hyperparameters: Mapping[str, float] = dict(assignment.hyperparameters)
        self._assignment, self._progress, self._most = assignment, progress, most
        self._cost = assignment.method.cost
        self._controller: Controller | None = None
        self.step, self.curve, self.notes = 0, Curve(), dict[str, str]()
        self.tested: tuple[float, float | None] | None = None
        self.weights: str | None = None
        self.reached: int | None = None
        self.diverged = self.pruned = False
        self._began, self._waited = time.perf_counter(), 0.0

    def optimizer(self, model: nn.Module) -> Optimizer:
        """Make the optimizer of this run for a model, to be stepped ``steps`` times, at the study's schedule.

        Raises:
            InputError: it has been made before.
        """
        if self._controller is not None:
            raise InputError(f"the function of {self._name!r} must make one optimizer, and asked for a second")
        asked = self._assignment
        self.weights = initial_weights(model)
        threads = torch.get_num_threads()
        found: Optimizer = checked_optimizer(asked.method, asked.method.build(model, asked.hyperparameters))
        torch.set_num_threads(threads)
        if has_modes(found):
            raise InputError(
                f"{asked.method.name} is evaluated at other weights than it is trained at, and {self._name!r} is a "
                "function, which does not show when it evaluates"
            )
        self._controller = asked.lr_schedule.start(found, self.steps, round(asked.own_recipe.warmup * self.steps))
        for name in ("see", "attach", "after_step"):
            if callable(getattr(self._controller, name, None)):
                raise InputError(
                    f"the learning rate of {asked.method.name} goes by more than steps and validations, which a "
                    "function does not show"
                )
        found.register_step_pre_hook(self._before_step)
        found.register_step_post_hook(self._after_step)
        return found

    def report(self, metric: float | Tensor, loss: float | Tensor, train_loss: float | Tensor | None = None) -> bool:
        """Tell of a validation, of the last one after the last step.

        Returns:
            Whether to stop, since the run has diverged or is not promising: a step after that is not taken.

        Args:
            metric: on the validation data, the one that the study is about.
            loss: on the validation data.
            train_loss: if it is to be shown.
        """
        if self._controller is None:
            raise InputError(f"the function of {self._name!r} must make its optimizer before it reports")
        metric, trained = _read(metric), None if train_loss is None else _read(train_loss)
        seen = {"validation_metric": metric, "validation_loss": _read(loss)}
        spent = self.step * self._cost
        self.curve.note(gradient_evaluations=spent, train_loss=trained, **seen)
        self.diverged = not all(map(math.isfinite, seen.values()))
        if self.diverged:
            return True
        if self.reached is None and reaches(self._assignment.workload, metric):
            self.reached = spent
        told = Progress(
            self.step / self.steps,
            spent,
            metric,
            seen["validation_loss"],
            math.nan if trained is None else trained,
            len(self.curve["validation_metric"]),
        )
        self._controller.observe(told)
        if note := getattr(self._controller, "note", ""):
            self.notes.setdefault(SCHEDULE_NOTE, note)
        asked = time.perf_counter()
        self.pruned = bool(self._progress(told)) and self.step < self.steps
        self._waited += time.perf_counter() - asked
        return self.pruned

    def test(self, metric: float | Tensor, loss: float | Tensor | None = None) -> None:
        """Tell of the test data, once, after the last step. Runs of the search are not asked for it."""
        self.tested = _read(metric), None if loss is None else _read(loss)

    @property
    def seconds(self) -> float:
        """Since the run began, but for what was waited for."""
        return time.perf_counter() - self._began - self._waited

    @property
    def _name(self) -> str:
        return self._assignment.workload.name

    def _before_step(self, *_: Any) -> None:
        if self.pruned or self.diverged or self.step == self._most:
            raise _RunIsOver
        if self.step == self.steps:
            raise InputError(f"the function of {self._name!r} took more than the {self.steps} steps of its run")
        if self._controller is not None:
            self._controller.before_step(self.step)

    def _after_step(self, *_: Any) -> None:
        self.step += 1

    def check_end(self, with_test: bool) -> None:
        """Refuse what is no whole run."""
        if self._controller is None:
            raise InputError(f"the function of {self._name!r} must make its optimizer by run.optimizer(model)")
        if self.pruned or self.diverged:
            return
        if self.step < self.steps:
            raise InputError(f"the function of {self._name!r} ended after {self.step} of its {self.steps} steps")
        if self.curve["gradient_evaluations"][-1:] != [self.steps * self._cost]:
            raise InputError(f"the function of {self._name!r} must report after its last step")
        if with_test and self.tested is None:
            raise InputError(f"the function of {self._name!r} must say run.test(metric) after its last step")


def train_function(
    assignment: Assignment,
    *,
    with_test: bool,
    instruments: Sequence[Instrument],
    progress: Callable[[Progress], object],
    ranks: Ranks,
) -> Outcome:
    """One run of a function, from its beginning.

    Raises:
        InputError: the method or the study asks for what a function does not show, or that does not do its part.
    """
    check_function(assignment.workload, assignment.method, assignment.recipe, instruments, ranks)
    run = _call(assignment, progress)
    run.check_end(with_test)
    test_metric, test_loss = (
        (run.tested or (None, None)) if with_test and not (run.pruned or run.diverged) else (None, None)
    )
    diverged = run.diverged or not all(math.isfinite(x) for x in (test_metric, test_loss) if x is not None)
    spent = run.step * assignment.method.cost
    return Outcome(
        diverged=diverged,
        gradient_evaluations=spent,
        samples=spent * assignment.batch_size,
        evaluations_to_target=run.reached,
        validation_loss=None if diverged else run.curve["validation_loss"][-1],
        validation_metric=None if diverged else run.curve["validation_metric"][-1],
        test_loss=None if diverged else test_loss,
        test_metric=None if diverged else test_metric,
        curve=run.curve,
        seconds=run.seconds,
        notes=run.notes,
        pruned=run.pruned,
        weights=run.weights,
    )


def try_function(assignment: Assignment, ranks: Ranks) -> str | None:
    """Run a function as far as its second step; returns the :func:`~.beginning.initial_weights`."""
    check_function(assignment.workload, assignment.method, assignment.recipe, (), ranks)
    run = _call(assignment, lambda seen: False, most=1)
    if run.step == 0:
        run.check_end(with_test=False)
    return run.weights


def _call(assignment: Assignment, progress: Callable[[Progress], object], most: int | None = None) -> FunctionRun:
    seed_generators(assignment.seed)
    run = FunctionRun(assignment, progress, most)
    function = assignment.workload.function
    try:
        if function is not None:
            function(run)
    except _RunIsOver:
        pass
    return run


def check_function(
    workload: Workload, method: Method, recipe: Recipe, instruments: Sequence[Instrument] = (), ranks: Ranks = ALONE
) -> None:
    """Refuse what needs batches, a model or steps that a function does not show.

    Raises:
        InputError: the method, the recipe or an instrument does, or several ranks are to run it.
    """
    changes = recipe.with_changes(method.recipe).changes()
    for there, what in (
        (method.estimators, f"{method.name} obtains its gradient in a way of its own"),
        (method.counted, f"{method.name} pays for what each of its steps takes"),
        (method.batches_per_step != 1, f"{method.name} takes several batches a step"),
        (changes.keys() - {"warmup"}, f"the recipe has {', '.join(sorted(changes.keys() - {'warmup'}))}"),
        (instruments, f"{', '.join(i.name for i in instruments)} is measured"),
        (ranks is not ALONE, "several ranks do a run together"),
    ):
        if there:
            raise InputError(
                f"{what}, and {workload.name!r} is a function, which shows neither its model nor its batches"
            )


def _read(value: float | Tensor) -> float:
    return float(value.detach() if isinstance(value, Tensor) else value)

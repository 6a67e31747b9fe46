"""A run under way: what a step and a validation are, and what must be saved to resume."""

import math
import statistics
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.data import Split
from steepest.data.items import Items
from steepest.training.definitions.assignment import Assignment, Leg
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.groups import own_of
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.outcome import Curve, Progress
from steepest.training.definitions.ranks import Ranks
from steepest.training.definitions.schedule import SCHEDULE_NOTE, Controller
from steepest.training.loop.average import WeightAverage
from steepest.training.loop.batches import TrainingBatches, batches_of
from steepest.training.loop.best import BestWeights
from steepest.training.loop.checkpoint import State, plain_attributes, same
from steepest.training.loop.evaluate import Scores, evaluate, evaluated, reaches, set_task
from steepest.training.loop.evaluations import Evaluations
from steepest.training.loop.gradients import Gradients
from steepest.training.loop.items import Fetched, SampleBatches, item_batches
from steepest.training.loop.measuring import readings
from steepest.training.loop.precision import autocast
from steepest.training.loop.unsaved import Unsaved
from steepest.training.process.randomness import derived_seed, generator_states, restore_generators

_COUNTED = ("task", "step", "spent", "began", "loss_count", "seconds", "reached", "notes", "matrix")


@dataclass
class Run:
    """All that changes from step to step, but for the global generators."""

    assignment: Assignment
    ranks: Ranks
    model: nn.Module
    called: nn.Module  # in training steps; the model, or what a strategy makes of it
    optimizer: Optimizer
    gradients: Gradients
    loss_sum: Tensor  # since the last validation
    evaluations: Evaluations
    unsaved: Unsaved
    average: WeightAverage | None = None
    scaler: torch.amp.GradScaler | None = None
    best: BestWeights | None = None
    batches: TrainingBatches | SampleBatches = field(init=False)
    controller: Controller = field(init=False)
    task: int = 0
    validated: int = 0  # times since this task began
    loss_count: int = 0
    step: int = 0
    spent: int = 0  # gradient evaluations
    began: int = 0  # of them, when this task did
    seconds: float = 0.0
    reached: int | None = None
    diverged: bool = False
    curve: Curve = field(default_factory=Curve)
    measures: dict[str, float | None] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    matrix: list[list[float]] = field(default_factory=list)  # after each task, the validation metric on all of them

    def __post_init__(self) -> None:
        self.workload, self.method = self.assignment.workload, self.assignment.method
        self.recipe = self.assignment.own_recipe
        self._unit = self.method.unit  # asked for several times a step
        names = (own_of(name).name for name in (*self.method.space, *self.method.fixed))
        asked = {"lr", *names}  # other values of a group are the optimizer's own
        self._attached = ExitStack()
        self._fetched: Fetched | None = None  # the samples of the step
        self._shown: WeightAverage | BestWeights | None = self.average  # instead of the weights that are trained
        self._values = [{n: v for n, v in group.items() if n in asked} for group in self.optimizer.param_groups]
        self.begin_task(0)

    @property
    def leg(self) -> Leg:
        """What is spent on the task that is being learnt."""
        return self.assignment.legs[self.task]

    @property
    def place(self) -> int:
        """How far this task has come: in steps, or in calls of the closure where these are counted."""
        return (self.spent - self.began) // self._unit

    @property
    def left(self) -> int:
        """What :attr:`place` has still to come."""
        return self.leg.stop - self.leg.start - self.place

    @property
    def task_is_over(self) -> bool:
        return self.left == 0

    @property
    def is_over(self) -> bool:
        return self.task_is_over and self.task == len(self.assignment.legs) - 1

    @property
    def validation_is_due(self) -> bool:
        if self.assignment.parts > 1:
            return self.task_is_over
        return self.task_is_over or self.spent - self.began >= self.leg.between_validations * (self.validated + 1)

    def begin_task(self, task: int) -> None:
        """Its batches, and the schedule from its beginning."""
        self.task, self.validated, self.began = task, 0, self.spent
        if task > 0:
            for group, values in zip(self.optimizer.param_groups, self._values, strict=False):
                group.update(values)
        asked = self.assignment
        seed = derived_seed(f"task {task}", asked.seed) if task else asked.seed
        train = self.leg.splits.train
        if isinstance(train, Items):
            self.batches = item_batches(train, asked.batch_size, seed, self.workload.collate)
        else:
            self.batches = batches_of(train, asked.batch_size, seed, self.workload.augment)
        self.release()
        steps = self.leg.stop - self.leg.start
        self.controller = asked.lr_schedule.start(self.optimizer, steps, round(self.recipe.warmup * steps))
        if self.workload.has_steps and callable(getattr(self.controller, "see", None)):
            raise InputError(
                f"the learning rate of {self.method.name} goes by outputs and targets, which a workload with a "
                "training_step does not show"
            )
        if callable(attach := getattr(self.controller, "attach", None)):
            held: AbstractContextManager[object] | None = attach(self.model)
            if held is not None:
                self._attached.enter_context(held)
        set_task(self.model, task)
        self.gradients.tell("begin_task", self.view)

    def release(self) -> None:
        """Undo what the controller has attached to the model."""
        self._attached.close()

    def end_task(self) -> None:
        """Tell those who want to know, and go on to the next."""
        with self.evaluated():
            self.gradients.tell("end_task", self.view)
        self.begin_task(self.task + 1)

    def finish_task(self) -> None:
        """Tell those who want to know that the last step of a task has been taken."""
        self.gradients.tell("finish_task", self.view)

    @property
    def view(self) -> RunView:
        splits = self.assignment.splits
        return RunView(self.workload, splits, self.model, self.optimizer, self.step, self.spent, self.task)

    def take_step(self) -> None:
        """One step, at what the controller sets."""
        self.controller.before_step(self.place)
        see = getattr(self.controller, "see", None)
        epoch = (self.spent - self.began) // self.leg.per_epoch
        inputs, targets, most = self._draw()
        batch = Batch(
            self.called, self.workload.loss, inputs, targets, self.ranks, self.task, see, epoch, most,
            self.recipe.accumulate, self.autocast, None if self.scaler is None else self.scaler.scale,
            self._find_loss_at if self.workload.has_steps else None,
        )  # fmt: skip
        self.evaluations.reset()
        losses: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(self.gradients(batch))
            self._finish_gradient()
            return losses[-1]

        if self.method.counted:
            for group in self.optimizer.param_groups:
                group["evaluations_left"] = self.left
        if self.method.closure:
            returned: Any = self.optimizer.step(closure)  # type: ignore[arg-type]
        else:
            returned = closure()
            self._step_once()
        self._check_cost(len(batch), len(losses))
        self.spent += self._count_calls(len(losses)) * self._unit
        self.loss_sum += self._after_step(self._find_loss_of_step(returned, losses).detach())
        self.loss_count += 1
        self.step += 1
        if self.average is not None:
            self.average.update()

    def _find_loss_at(self, model: nn.Module, places: Tensor) -> Tensor:
        """Find the loss of some samples of this step's batch, by the workload's own step."""
        if self.workload.training_step is None or self._fetched is None:
            raise TypeError("only a workload with steps of its own has batches of places")
        if torch.is_grad_enabled():
            self.evaluations.samples += len(places)
            self.evaluations.calls += 1
        return self.workload.training_step(model, self._fetched(places))

    def autocast(self) -> AbstractContextManager[object]:
        """What a forward pass is computed in."""
        return autocast(self.recipe.precision, self.loss_sum.device)

    @contextmanager
    def evaluated(self) -> Iterator[None]:
        """While the model is evaluated: at the weights and in the precision that it has for that."""
        with evaluated(self.optimizer), nullcontext() if self._shown is None else self._shown.shown():
            yield

    def _finish_gradient(self) -> None:
        """Bring the whole gradient of a batch to what the optimizer is to see."""
        if self.scaler is not None:
            self.scaler.unscale_(self.optimizer)
        if self.recipe.clip is not None:
            held = [p for group in self.optimizer.param_groups for p in group["params"]]
            torch.nn.utils.clip_grad_norm_(held, self.recipe.clip)

    def _step_once(self) -> None:
        if self.scaler is None:
            self.optimizer.step()
        else:
            self.scaler.step(self.optimizer)
            self.scaler.update()

    def _draw(self) -> tuple[Tensor, Tensor, int | None]:
        """Draw the samples of a step, and how many of them are evaluated at a time: all, unless they are of several
        batches."""
        count = self.method.cost // self.method.evaluations_per_batch
        most = max(self.assignment.batch_size, self.workload.evaluation_batch)
        if isinstance(self.batches, SampleBatches):
            self._fetched, places = self.batches.take(count)
            return places, places, None if count == 1 else most
        if count == 1:
            return *next(self.batches), None
        inputs, targets = zip(*(next(self.batches) for _ in range(count)), strict=True)
        return torch.cat(inputs), torch.cat(targets), most

    def _after_step(self, loss: Tensor) -> Tensor:
        """Tell the controller of the step; returns the loss that is noted."""
        after = getattr(self.controller, "after_step", None)
        noted: Tensor | None = after(loss) if callable(after) else None
        return loss if noted is None else noted.detach().reshape(())

    def _find_loss_of_step(self, returned: Any, losses: list[Tensor]) -> Tensor:
        """Find what the optimizer says the loss was, or the first that its closure gave."""
        if returned is None and losses:
            return losses[0]
        if isinstance(returned, Tensor):
            return returned.reshape(())
        if not isinstance(returned, Real):
            raise InputError(
                f"step(closure) of {self.method.name} must call the closure or return the loss, got {returned!r}"
            )
        return torch.tensor(float(returned), dtype=self.loss_sum.dtype, device=self.loss_sum.device)

    def _check_cost(self, batch_size: int, calls: int) -> None:
        """Refuse a step that takes more than the method pays: the others of a comparison get no more for that
        either."""
        mine = self.ranks.share(batch_size)
        share, paid = mine.stop - mine.start, self.method.evaluations_per_batch
        if self.method.counted:
            paid = min(paid, calls)
        uneven = self.evaluations.calls if self.ranks.size > 1 else 0  # a rank's part of each may be a sample larger
        if self.evaluations.samples > paid * share + uneven:
            taken = self.evaluations.samples / share
            raise InputError(
                f"{self.method.name} took {taken:.3g} gradient evaluations in a step and pays {paid}; its "
                f"evaluations_per_step must be the most that a step takes"
            )

    def _count_calls(self, calls: int) -> int:
        """Count what a step pays for, in units: itself, or the calls of its closure, of which there must be one."""
        if not self.method.counted:
            return 1
        if calls > self.left:
            raise InputError(
                f"{self.method.name} called its closure {calls} times in a step, and the budget had {self.left} left; "
                "it must call it no more often than evaluations_left of its groups says"
            )
        return max(calls, 1)

    def evaluate(self, split: Split) -> Scores:
        """Loss and metrics over a split, at the weights that the optimizer has for evaluation."""
        with self.evaluated(), self.autocast():
            return evaluate(self.workload, self.model, split, self.ranks)

    def evaluate_tasks(self, part: str) -> tuple[Scores, list[float]]:
        """The means over all tasks on ``"validation"`` or ``"test"``, and the metric on each."""
        found = []
        for task, leg in enumerate(self.assignment.legs):
            set_task(self.model, task)
            found.append(self.evaluate(getattr(leg.splits, part)))
        set_task(self.model, self.task)
        mean = Scores(
            statistics.fmean(s.loss for s in found),
            statistics.fmean(s.metric for s in found),
            {name: statistics.fmean(s.others[name] for s in found) for name in found[0].others},
        )
        return mean, [s.metric for s in found]

    def test_best(self) -> float | None:
        """Find the test metric at the weights of the best validation, if they are kept."""
        if self.best is None or self.best.metric is None:
            return None
        self._shown = self.best
        try:
            return self.evaluate_tasks("test")[0].metric
        finally:
            self._shown = self.average

    def validate(self) -> None:
        """Note where the run stands."""
        (loss, metric, others), by_task = self.evaluate_tasks("validation")
        self.validated += 1
        if self.task_is_over and len(by_task) > 1:
            self.matrix.append(by_task)
        trained = self.loss_sum.item() / self.loss_count
        seen = {"train_loss": trained, "validation_loss": loss, "validation_metric": metric}
        self.curve.note(gradient_evaluations=self.spent, **seen, **{f"validation {n}": v for n, v in others.items()})
        self.loss_sum.zero_()
        self.loss_count = 0
        self.diverged = not all(map(math.isfinite, seen.values()))
        if not self.diverged and self.reached is None and reaches(self.workload, metric):
            self.reached = self.spent
        if self.best is not None and not self.diverged:
            with self.evaluated():
                self.best.see(metric, self.spent)
        if note := getattr(self.controller, "note", ""):
            self.notes.setdefault(SCHEDULE_NOTE, note)

    def measure(self, instruments: Sequence[Instrument], when: str) -> float:
        """Ask the instruments of this moment, unless the run has diverged; returns the seconds that they took."""
        if not (asked := [instrument for instrument in instruments if instrument.when == when]):
            return 0.0
        started = time.perf_counter()
        if self.diverged:
            found = {instrument.name: Reading(None) for instrument in asked}
        else:
            with self.evaluated():
                found = readings(asked, self.view)
        values = {name: reading.value for name, reading in found.items()}
        if when == "end":
            self.measures = values
        else:
            self.curve.note(**values)
        for name, reading in found.items():
            if reading.note:
                self.notes.setdefault(name, reading.note)
        return time.perf_counter() - started

    def progress(self) -> Progress:
        """What the last validation has seen."""
        curve = self.curve
        return Progress(
            (self.leg.start + self.place) / self.assignment.steps,
            self.spent,
            curve["validation_metric"][-1],
            validation_loss=curve["validation_loss"][-1],
            train_loss=curve["train_loss"][-1],
            validations=len(curve["validation_metric"]),
        )

    @property
    def is_resumable(self) -> bool:
        """Whether a checkpoint would hold all that has changed since the beginning."""
        return self.gradients.resumable and self.unsaved.is_nothing()

    def state_dict(self) -> State:
        """All that an interrupted run needs to resume."""
        return {
            **{name: getattr(self, name) for name in _COUNTED},
            "loss_sum": self.loss_sum,
            "curve": dict(self.curve),
            "model": self.model.state_dict(),
            "buffers": dict(self.model.named_buffers()),  # those that no state_dict holds among them
            "modules": {name: plain_attributes(module) for name, module in self.model.named_modules()},
            "optimizer": self.optimizer.state_dict(),
            "optimizer_attributes": plain_attributes(self.optimizer),
            "gradients": self.gradients.state_dict(),
            "controller": self.controller.state_dict(),
            "batches": self.batches.state_dict(),
            "generators": generator_states(self.loss_sum.device),
            "average": self.average and self.average.state_dict(),
            "scaler": self.scaler and self.scaler.state_dict(),
            "best": self.best and self.best.state_dict(),
        }

    def resume_from(self, state: State) -> bool:
        """Take up a saved state; if that fails halfway, or gives another state, say no: the run is then unusable."""
        try:
            self.model.load_state_dict(state["model"])
            for name, buffer in self.model.named_buffers():
                buffer.copy_(state["buffers"][name])
            for name, module in self.model.named_modules():
                vars(module).update(state["modules"][name])
            self._go_to(state)
            self.optimizer.load_state_dict(state["optimizer"])
            vars(self.optimizer).update(state["optimizer_attributes"])
            self.gradients.load_state_dict(state["gradients"])
            self.controller.load_state_dict(state["controller"])
            self.batches.load_state_dict(state["batches"])
            restore_generators(state["generators"], self.loss_sum.device)
            for part, name in ((self.average, "average"), (self.scaler, "scaler"), (self.best, "best")):
                if part is not None:
                    part.load_state_dict(state[name])
            self.loss_sum.copy_(state["loss_sum"])
            self.curve = Curve(state["curve"])
            return same(self.state_dict(), state)  # an optimizer's tensors change their dtype with its parameters'
        except Exception:  # whatever a user's load_state_dict raises
            return False

    def _go_to(self, state: State) -> None:
        if state["task"] > 0:
            self.begin_task(state["task"])
        for name in _COUNTED:
            setattr(self, name, state[name])
        self.validated = sum(at > self.began for at in state["curve"]["gradient_evaluations"])

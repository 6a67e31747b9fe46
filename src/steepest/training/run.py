"""A run under way: what a step and a validation are, and what must be saved to go on."""

import dataclasses
import hashlib
import math
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.data import Split
from steepest.optim.norms import local
from steepest.training.batches import Batches
from steepest.training.checkpoint import State, plain_attributes, same
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.method import Method
from steepest.training.definitions.ranks import ALONE, Ranks
from steepest.training.definitions.schedule import Controller
from steepest.training.definitions.workload import Workload
from steepest.training.evaluations import Evaluations
from steepest.training.gradients import Gradients, attached
from steepest.training.outcome import Curve, Progress
from steepest.training.randomness import generator_states, restore_generators, seed_generators
from steepest.training.unsaved import Unsaved

_COUNTED = ("step", "loss_count", "seconds", "reached")


@dataclass
class Run:
    """All that changes from step to step, but for the global generators."""

    workload: Workload
    method: Method
    ranks: Ranks
    model: nn.Module
    called: nn.Module  # in training steps; the model, or what a strategy makes of it
    optimizer: Optimizer
    gradients: Gradients
    batches: Batches
    per_epoch: int
    controller: Controller
    loss_sum: Tensor  # since the last validation
    evaluations: Evaluations
    unsaved: Unsaved
    loss_count: int = 0
    step: int = 0
    seconds: float = 0.0
    reached: int | None = None
    diverged: bool = False
    curve: Curve = field(default_factory=Curve)

    @property
    def spent(self) -> int:
        """Gradient evaluations."""
        return self.step * self.method.cost

    @property
    def validation_is_due(self) -> bool:
        return self.spent >= self.per_epoch * (len(self.curve.gradient_evaluations) + 1)

    def take_step(self) -> None:
        """One step, at what the controller sets."""
        self.controller.before_step(self.step)
        batch = Batch(self.called, self.workload.loss, *next(self.batches), self.ranks)
        self.evaluations.reset()
        losses: list[Tensor] = []

        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            losses.append(self.gradients(batch))
            return losses[-1]

        if self.method.closure:
            returned: Any = self.optimizer.step(closure)  # type: ignore[arg-type]
        else:
            returned = closure()
            self.optimizer.step()
        self._check_cost(len(batch))
        self.loss_sum += self._loss_of_step(returned, losses).detach()
        self.loss_count += 1
        self.step += 1

    def _loss_of_step(self, returned: Any, losses: list[Tensor]) -> Tensor:
        """What the optimizer says the loss was, or the first that its closure gave."""
        if returned is None and losses:
            return losses[0]
        if isinstance(returned, Tensor):
            return returned.reshape(())
        if not isinstance(returned, Real):
            raise InputError(
                f"step(closure) of {self.method.name} must call the closure or return the loss, got {returned!r}"
            )
        return torch.tensor(float(returned), dtype=self.loss_sum.dtype, device=self.loss_sum.device)

    def _check_cost(self, batch_size: int) -> None:
        """A step may take what the method pays, and no more: the others of a comparison get no more for that either."""
        mine = self.ranks.share(batch_size)
        share, paid = mine.stop - mine.start, self.method.cost
        uneven = self.evaluations.calls if self.ranks.size > 1 else 0  # a rank's part of each may be a sample larger
        if self.evaluations.samples > paid * share + uneven:
            taken = self.evaluations.samples / share
            raise InputError(
                f"{self.method.name} took {taken:.3g} gradient evaluations in a step and pays {paid}; its "
                f"evaluations_per_step must be the most that a step takes"
            )

    def evaluate(self, split: Split) -> tuple[float, float]:
        """Mean loss and mean metric over a split, at the weights that the optimizer has for evaluation."""
        with evaluated(self.optimizer):
            return evaluate(self.workload, self.model, split, self.ranks)

    def validate(self, split: Split) -> None:
        """Note where the run stands."""
        loss, metric = self.evaluate(split)
        self.curve.gradient_evaluations.append(self.spent)
        self.curve.train_loss.append(self.loss_sum.item() / self.loss_count)
        self.curve.validation_loss.append(loss)
        self.curve.validation_metric.append(metric)
        self.loss_sum.zero_()
        self.loss_count = 0
        self.diverged = not all(map(math.isfinite, (self.curve.train_loss[-1], loss, metric)))
        if not self.diverged and self.reached is None and _reaches(self.workload, metric):
            self.reached = self.spent

    def progress(self, steps: int) -> Progress:
        """What the last validation has seen, in a run of so many steps."""
        curve = self.curve
        return Progress(
            self.step / steps,
            self.spent,
            curve.validation_metric[-1],
            validation_loss=curve.validation_loss[-1],
            train_loss=curve.train_loss[-1],
        )

    @property
    def is_resumable(self) -> bool:
        """Whether a checkpoint would hold all that has changed since the beginning."""
        return self.gradients.resumable and self.unsaved.is_nothing()

    def state_dict(self) -> State:
        """All that an interrupted run needs to go on."""
        return {
            **{name: getattr(self, name) for name in _COUNTED},
            "loss_sum": self.loss_sum,
            "curve": dataclasses.asdict(self.curve),
            "model": self.model.state_dict(),
            "buffers": dict(self.model.named_buffers()),  # those that no state_dict holds among them
            "modules": {name: plain_attributes(module) for name, module in self.model.named_modules()},
            "optimizer": self.optimizer.state_dict(),
            "optimizer_attributes": plain_attributes(self.optimizer),
            "gradients": self.gradients.state_dict(),
            "controller": self.controller.state_dict(),
            "batches": self.batches.state_dict(),
            "generators": generator_states(self.loss_sum.device),
        }

    def goes_on_from(self, state: State) -> bool:
        """Take up a saved state; if that fails halfway, or gives another state, say no: the run is then unusable."""
        try:
            self.model.load_state_dict(state["model"])
            for name, buffer in self.model.named_buffers():
                buffer.copy_(state["buffers"][name])
            for name, module in self.model.named_modules():
                vars(module).update(state["modules"][name])
            self.optimizer.load_state_dict(state["optimizer"])
            vars(self.optimizer).update(state["optimizer_attributes"])
            self.gradients.load_state_dict(state["gradients"])
            self.controller.load_state_dict(state["controller"])
            self.batches.load_state_dict(state["batches"])
            restore_generators(state["generators"], self.loss_sum.device)
            self.loss_sum.copy_(state["loss_sum"])
            self.curve = Curve(**state["curve"])
            for name in _COUNTED:
                setattr(self, name, state[name])
            return same(self.state_dict(), state)  # an optimizer's tensors change their dtype with its parameters'
        except Exception:  # whatever a user's load_state_dict raises
            return False


@contextmanager
def begun(assignment: Assignment, ranks: Ranks) -> Iterator[Run]:
    """A run before its first step; everything that is random has been seeded."""
    workload, method, splits, seed = assignment.workload, assignment.method, assignment.splits, assignment.seed
    seed_generators(seed)
    device = splits.train.inputs.device
    threads = torch.get_num_threads()
    model = fresh_model(workload).to(device)
    called = ranks.wrap(model)
    optimizer = method.build(model, assignment.hyperparameters)
    torch.set_num_threads(threads)  # whatever they thought best
    model.train()
    _set_mode(optimizer, "train")
    ranks.draw_apart(seed)
    with attached(method.estimators, model, optimizer, seed) as gradients:
        yield Run(
            workload,
            method,
            ranks,
            model,
            called,
            optimizer,
            gradients,
            Batches(splits.train, assignment.batch_size, seed, workload.augment),
            per_epoch=assignment.steps_per_epoch,
            controller=assignment.lr_schedule.start(_checked(method, optimizer), assignment.steps),
            loss_sum=torch.zeros((), dtype=torch.get_default_dtype(), device=device),
            evaluations=Evaluations(model, splits.train.inputs.ndim),
            unsaved=Unsaved(model, optimizer),
        )


def fresh_model(workload: Workload) -> nn.Module:
    """The workload's model, from its own function.

    Raises:
        InputError: what it returns is no module.
    """
    model = workload.model()
    if not isinstance(model, nn.Module):
        raise InputError(f"the model of {workload.name!r} must be a torch.nn.Module, got {type(model).__name__}")
    return model


def initial_weights(model: nn.Module, ranks: Ranks = ALONE) -> str | None:
    """Where a run begins: the machine and its torch, and SHA-256 of all parameters in their order, as ``HOST:WEIGHTS``;
    elsewhere the same draw may be rounded otherwise. ``None`` where the ranks hold parts of them.

    Parameters of lazy modules have no values yet.
    """
    if ranks is not ALONE:
        return None
    digest = hashlib.sha256()
    for p in (p for p in model.parameters() if not is_lazy(p)):
        tensor = local(p.detach()).cpu().contiguous().reshape(-1)
        digest.update(f"{tuple(p.shape)}{p.dtype}".encode())
        digest.update(tensor.view(torch.uint8).numpy().data)
    kernels = torch.backends.cpu.get_cpu_capability()
    host = hashlib.sha256(f"{platform.node()} {kernels} {torch.__version__}".encode()).hexdigest()
    return f"{host[:8]}:{digest.hexdigest()[:32]}"


@contextmanager
def evaluated(optimizer: Optimizer) -> Iterator[None]:
    """While a model is evaluated: an optimizer with other weights for that, as Schedule-Free has, puts them there."""
    _set_mode(optimizer, "eval")
    try:
        yield
    finally:
        _set_mode(optimizer, "train")


def _set_mode(optimizer: Optimizer, mode: str) -> None:
    if all(callable(getattr(optimizer, name, None)) for name in ("train", "eval")):
        getattr(optimizer, mode)()


def _checked(method: Method, optimizer: Any) -> Any:
    """An optimizer whose learning rates a schedule can move."""
    groups = getattr(optimizer, "param_groups", None)
    if not groups or not callable(getattr(optimizer, "step", None)):
        raise InputError(
            f"the optimizer of {method.name} must be a torch.optim.Optimizer with parameter groups, got "
            f"{type(optimizer).__name__}"
        )
    if any("lr" not in group for group in groups):
        raise InputError(f"every parameter group of {method.name} must have an 'lr', which the schedule moves")
    return optimizer


@torch.no_grad()
def evaluate(workload: Workload, model: nn.Module, split: Split, ranks: Ranks = ALONE) -> tuple[float, float]:
    """Mean loss and mean metric over a split, in evaluation mode; the model is left in training mode.

    The ranks share the samples, and call the model equally often.
    """
    ranks.settle(model)
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64, device="cpu")
    for start in range(0, len(split), workload.evaluation_batch):
        # Copies: a model, a loss or a metric that works in place must not change the data of the next evaluation.
        inputs, targets = (t[start : start + workload.evaluation_batch].clone() for t in (split.inputs, split.targets))
        mine = ranks.share(len(inputs))
        count = mine.stop - mine.start
        some = mine if count else slice(0, 1)
        outputs, targets = model(inputs[some]), targets[some]
        if count:
            values = [
                one_number(name, workload, f(outputs, targets))
                for name, f in (("loss", workload.loss), ("metric", workload.metric))
            ]
            sums += count * torch.tensor(values, dtype=sums.dtype, device=sums.device)
    model.train()
    ranks.release(model)
    loss, metric = ranks.total(sums).tolist()
    return loss / len(split), metric / len(split)


def one_number(name: str, workload: Workload, value: Any) -> float:
    """A loss or a metric as a number.

    Raises:
        InputError: it is none, or several.
    """
    size = getattr(value, "shape", ())
    if math.prod(size) == 1 and not isinstance(value, str | bytes):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    got = f"shape {tuple(size)}" if math.prod(size) != 1 else type(value).__name__
    raise InputError(f"the {name} of {workload.name!r} must be one number, the mean over the batch, got {got}")


def _reaches(workload: Workload, metric: float) -> bool:
    return metric >= workload.target if workload.higher_is_better else metric <= workload.target

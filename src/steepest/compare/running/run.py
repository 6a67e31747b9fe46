"""A run under way: what a step and a validation are, and what must be saved to go on."""

import dataclasses
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.compare.estimator import Batch, Gradients, attached
from steepest.compare.method import Method
from steepest.compare.running.batches import Batches, steps_per_epoch
from steepest.compare.running.checkpoint import State, plain_attributes, same
from steepest.compare.running.randomness import generator_states, restore_generators, seed_generators
from steepest.compare.running.ranks import ALONE, Ranks
from steepest.compare.workload import Workload
from steepest.data import Split, Splits

_COUNTED = ("step", "loss_count", "seconds", "reached")


@dataclass
class Curve:
    """What was seen at each evaluation; lists of equal length."""

    gradient_evaluations: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)  # mean since the evaluation before
    validation_loss: list[float] = field(default_factory=list)
    validation_metric: list[float] = field(default_factory=list)


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
    peaks: list[float]  # of the learning rate, by group
    loss_sum: Tensor  # since the last validation
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

    def take_step(self, factor: float) -> None:
        """One step, at this factor of the learning rate."""
        for group, peak in zip(self.optimizer.param_groups, self.peaks, strict=True):
            group["lr"] = peak * factor
        batch = Batch(self.called, self.workload.loss, *next(self.batches), self.ranks)

        def closure() -> Tensor:
            self.optimizer.zero_grad(set_to_none=True)
            return self.gradients(batch)

        if self.method.closure:
            loss = torch.as_tensor(self.optimizer.step(closure))  # type: ignore[arg-type]
        else:
            loss = closure()
            self.optimizer.step()
        self.loss_sum += loss.detach()
        self.loss_count += 1
        self.step += 1

    def validate(self, split: Split) -> None:
        """Note where the run stands."""
        loss, metric = evaluate(self.workload, self.model, split, self.ranks)
        self.curve.gradient_evaluations.append(self.spent)
        self.curve.train_loss.append(self.loss_sum.item() / self.loss_count)
        self.curve.validation_loss.append(loss)
        self.curve.validation_metric.append(metric)
        self.loss_sum.zero_()
        self.loss_count = 0
        self.diverged = not all(map(math.isfinite, (self.curve.train_loss[-1], loss, metric)))
        if not self.diverged and self.reached is None and _reaches(self.workload, metric):
            self.reached = self.spent

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
def begun(
    workload: Workload,
    method: Method,
    splits: Splits,
    hyperparameters: Mapping[str, float],
    seed: int,
    batch_size: int,
    ranks: Ranks,
) -> Iterator[Run]:
    """A run before its first step; everything that is random has been seeded."""
    seed_generators(seed)
    device = splits.train.inputs.device
    model = workload.model().to(device)
    called = ranks.wrap(model)
    optimizer = method.build(model, hyperparameters)
    model.train()
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
            Batches(splits.train, batch_size, seed, workload.augment),
            per_epoch=steps_per_epoch(len(splits.train), batch_size),
            peaks=[group["lr"] for group in optimizer.param_groups],
            loss_sum=torch.zeros((), device=device),
        )


@torch.no_grad()
def evaluate(workload: Workload, model: nn.Module, split: Split, ranks: Ranks = ALONE) -> tuple[float, float]:
    """Mean loss and mean metric over a split, in evaluation mode; the model is left in training mode.

    The ranks share the samples, and call the model equally often.
    """
    ranks.settle(model)
    model.eval()
    sums = torch.zeros(2, dtype=torch.float64)
    for start in range(0, len(split), workload.evaluation_batch):
        inputs, targets = (t[start : start + workload.evaluation_batch] for t in (split.inputs, split.targets))
        mine = ranks.share(len(inputs))
        count = mine.stop - mine.start
        some = mine if count else slice(0, 1)
        outputs, targets = model(inputs[some]), targets[some]
        if count:
            sums += count * torch.tensor(
                [float(f(outputs, targets)) for f in (workload.loss, workload.metric)], dtype=sums.dtype
            )
    model.train()
    ranks.release(model)
    loss, metric = ranks.total(sums).tolist()
    return loss / len(split), metric / len(split)


def _reaches(workload: Workload, metric: float) -> bool:
    return metric >= workload.target if workload.higher_is_better else metric <= workload.target

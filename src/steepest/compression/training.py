"""A part of a compression that trains: a run of its own, from a network to the same one further on."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest.compression.batch_norm import reestimate
from steepest.compression.constraint import Mode, SigmaConstraint
from steepest.compression.net import Net
from steepest.compression.weights import Place, detached
from steepest.data import Split, Splits
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.outcome import Progress
from steepest.training.definitions.range import Range
from steepest.training.definitions.schedule import SCHEDULES, Controller
from steepest.training.definitions.schedule import Schedule as LRSchedule
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.process.randomness import derived_seed
from steepest.training.train import train

Make = Callable[[Any], Optimizer]
Trained = tuple[Net | None, float]  # and the seconds that it took


@dataclass(frozen=True)
class Trainer:
    """What all trainings of a compression share.

    ``model``: the plain one; ``part``: training data; ``loss``: of outputs and targets; ``make``: an optimizer from
    named parameters; ``schedule``: of its lr, anew in each training.
    """

    model: nn.Module
    places: Mapping[str, Place]
    part: Split
    batch_size: int
    loss: Callable[[Tensor, Tensor], Tensor]
    make: Make
    schedule: str
    mode: Mode
    clip: float | None
    sigma_lr: float
    seed: int
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None

    def settings(self) -> dict[str, Any]:
        """What a result depends on, as far as it has words."""
        named = ("schedule", "mode", "clip", "sigma_lr", "seed", "batch_size")
        sizes = [len(self.part), *self.part.inputs.shape[1:]]
        made = self.make(list(detached(self.model).named_parameters()))
        values = {key: value for key, value in made.defaults.items() if isinstance(value, int | float | str | tuple)}
        optimizer = " ".join(
            [type(made).__name__, *(f"{key}={value}" for key, value in sorted(values.items()) if value)]
        )
        own = {name: getattr(self, name) for name in named}
        return {**own, "weights": list(self.places), "samples": sizes, "optimizer": optimizer}

    def train(
        self,
        net: Net,
        epochs: int,
        name: str,
        checkpoint: Checkpoint | None = None,
        progress: Callable[[float], object] = lambda share: None,
    ) -> Trained:
        """The network after so many epochs, BatchNorm re-estimated, and the seconds of its training, before an
        interruption and after; ``None`` where the loss is no longer finite.

        Args:
            name: of the part, from which its random numbers come.
            checkpoint: where it resumes from.
            progress: called with the share that is done.
        """
        held: dict[str, SigmaConstraint] = {}

        def make_model() -> nn.Module:
            made, constraints = net.parametrized(self.model, self.places, self.mode, self.clip, self.sigma_lr)
            held.clear()
            held.update(constraints)
            return made

        def make_optimizer(named: list[tuple[str, nn.Parameter]], lr: float) -> Optimizer:
            sigmas = {id(made.sigma) for made in held.values()}
            optimizer = self.make([(own, p) for own, p in named if id(p) not in sigmas])
            for made in held.values():
                made.attach(optimizer)
            return optimizer

        seed = derived_seed(name, self.seed)
        size = self.batch_size
        few = Split(self.part.inputs[:size], self.part.targets[:size])  # tells whether the loss is finite, and no more
        workload = Workload(
            name=f"compression: {name}",
            data=lambda _: Splits(self.part, few, few),
            model=make_model,
            batch_size=self.batch_size,
            epochs=epochs,
            target=0.0,
            loss=self.loss,
            metric=self.loss,
            higher_is_better=False,
            augment=self.augment,
        )
        method = Method("compression", make_optimizer, space={"lr": Range(1e-9, 1.0)})
        assignment = Assignment(
            workload,
            method,
            Splits(self.part, few, few),
            {"lr": 1.0},
            seed=seed,
            epochs=epochs,
            batch_size=self.batch_size,
            schedule=self._schedule(held),
        )
        found: list[Net] = []

        def keep(trained: nn.Module) -> None:
            found.append(net.after(trained, self.places, held))

        def tell(seen: Progress) -> bool:
            progress(seen.fraction)
            return False

        outcome = train(assignment, with_test=False, checkpoint=checkpoint, progress=tell, trained=keep)
        return self.reestimated(found[0], seed) if found else None, outcome.seconds

    def reestimated(self, net: Net, seed: int) -> Net:
        """The same with the statistics of BatchNorm that its own weights give on the training data."""
        plain = net.plain(self.model)
        state = reestimate(plain, self.part, self.batch_size, seed)
        return Net({key: state.get(key, tensor) for key, tensor in net.shadow.items()}, net.masks, net.sigmas)

    def _schedule(self, held: Mapping[str, SigmaConstraint]) -> LRSchedule:
        """Make the schedule of the lr, which projects at the end of an epoch where that is the mode."""
        plain = SCHEDULES[self.schedule]
        per_epoch = len(self.part) // self.batch_size

        def start(optimizer: Optimizer, steps: int) -> Controller:
            return _Projecting(plain.start(optimizer, steps), held, per_epoch)

        return LRSchedule(f"{self.schedule}-{self.mode}", plain.description, controller=start)


class _Projecting:
    """Hand everything on to another controller, and end the constraints' epochs."""

    def __init__(self, inner: Controller, held: Mapping[str, SigmaConstraint], per_epoch: int) -> None:
        self._inner, self._held, self._per_epoch, self._step = inner, held, per_epoch, 0

    def before_step(self, step: int) -> None:
        self._step = step
        self._inner.before_step(step)

    def after_step(self, loss: Tensor) -> None:
        if (self._step + 1) % self._per_epoch == 0:
            for made in self._held.values():
                made.end_epoch()

    def observe(self, seen: Progress) -> None:
        self._inner.observe(seen)

    def state_dict(self) -> dict[str, Any]:
        return self._inner.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._inner.load_state_dict(state)

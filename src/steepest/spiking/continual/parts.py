"""What the methods hold while a model trains: penalties beside the optimizer, replay, and the data of all tasks."""

import dataclasses
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.data import Split
from steepest.spiking.continual.blocks import ContinualNet
from steepest.spiking.continual.cost_per_synapse import CostPerSynapse
from steepest.spiking.continual.elastic import ElasticWeightConsolidation
from steepest.spiking.continual.synaptic_intelligence import SynapticIntelligence
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.instrument import RunView
from steepest.training.loop.batches import TrainingBatches, batches_of
from steepest.training.process.randomness import derived_seed


class Costs:
    """The cost per synapse of each task's last epoch."""

    def __init__(self, penalty: CostPerSynapse) -> None:
        self.penalty = penalty
        self._epoch = (-1, -1)  # the task and its epoch

    def take(self, batch: Batch) -> Tensor:
        refuse_ranks(batch)
        if self._epoch != (batch.task, batch.epoch):
            self._epoch = (batch.task, batch.epoch)
            self.penalty.begin_epoch()
        return batch.backward()

    def finish_task(self, view: RunView) -> None:
        self.penalty.end_task(len(view.splits.tasks[view.task].train))

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "penalty": self.penalty.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self._epoch = tuple(state["epoch"])
        self.penalty.load_state_dict(state["penalty"])


class Fishers:
    """Elastic weight consolidation, with the Fisher information of so many random samples of a task."""

    def __init__(self, penalty: ElasticWeightConsolidation, samples: int, seed: int) -> None:
        self.penalty, self._samples, self._seed = penalty, samples, seed

    def take(self, batch: Batch) -> Tensor:
        refuse_ranks(batch)
        loss = batch.backward()
        self.penalty.add_gradient()
        return loss

    def finish_task(self, view: RunView) -> None:
        if view.task == len(view.splits.tasks) - 1:
            return  # there is no task left that it could pull in
        inputs = view.splits.tasks[view.task].train.inputs
        generator = _seed_generator(f"Fisher {view.task}", self._seed)
        self.penalty.end_task(view.model, inputs[_choose(len(inputs), self._samples, generator)], generator)

    def state_dict(self) -> dict[str, Any]:
        return self.penalty.state_dict()

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.penalty.load_state_dict(state)


class Gains:
    """Synaptic intelligence."""

    def __init__(self, penalty: SynapticIntelligence) -> None:
        self.penalty = penalty

    def take(self, batch: Batch) -> Tensor:
        refuse_ranks(batch)
        loss = batch.backward()
        self.penalty.add_gradient()
        return loss

    def finish_task(self, view: RunView) -> None:
        self.penalty.end_task()

    def state_dict(self) -> dict[str, Any]:
        return self.penalty.state_dict()

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self.penalty.load_state_dict(state)


class Replay:
    """After each task, passes over some samples of all tasks so far, over all seen blocks; what they are is drawn from
    the seed, so that there is nothing to save.

    Args:
        stored: samples of each task, at most.
        share: of each task's samples, at most.
        passes: over all that is stored.
        batch: samples of a step.
        seed: of what is stored, and of the order.
        penalty: whose anchor follows.
    """

    def __init__(
        self, stored: int, share: float, passes: int, batch: int, seed: int, penalty: CostPerSynapse | None = None
    ) -> None:
        self._stored, self._share, self._passes, self._batch, self._seed = stored, share, passes, batch, seed
        self._penalty = penalty
        self._lrs: list[float] = []

    def begin_task(self, view: RunView) -> None:
        self._lrs = [group["lr"] for group in view.optimizer.param_groups]

    def finish_task(self, view: RunView) -> None:
        split = self.stored(view)
        generator = _seed_generator(f"replay {view.task}", self._seed)
        groups = view.optimizer.param_groups
        lrs = [group["lr"] for group in groups]
        _set_lrs(view.optimizer, self._lrs)
        with expect_continual_net(view.model).all_seen():
            for _ in range(self._passes):
                order = torch.randperm(len(split), generator=generator, device="cpu").to(split.inputs.device)
                for rows in torch.split(order, self._batch):
                    view.optimizer.zero_grad(set_to_none=True)
                    view.workload.loss(view.model(split.inputs[rows]), split.targets[rows]).backward()  # type: ignore[no-untyped-call]
                    view.optimizer.step()
        view.optimizer.zero_grad(set_to_none=True)
        _set_lrs(view.optimizer, lrs)
        if self._penalty is not None:
            self._penalty.move_anchor()

    def stored(self, view: RunView) -> Split:
        """What is stored of the tasks up to this one, one after the other."""
        inputs, targets = [], []
        for number, task in enumerate(view.splits.tasks[: view.task + 1]):
            count = min(self._stored, max(1, int(self._share * len(task.train))))
            rows = _choose(len(task.train), count, _seed_generator(f"stored {number}", self._seed))
            inputs.append(task.train.inputs[rows])
            targets.append(task.train.targets[rows])
        return Split(torch.cat(inputs), torch.cat(targets))

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        pass


class AllTasks:
    """Batches of the data of all tasks in the place of the task's own, of as many samples."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._view: RunView | None = None
        self._size = 0
        self._batches: TrainingBatches | None = None

    def begin_task(self, view: RunView) -> None:
        self._view = view

    def take(self, batch: Batch) -> Tensor:
        if self._batches is None or len(batch) != self._size:
            self._begin(len(batch))
        inputs, targets = next(self._batches)  # type: ignore[arg-type]
        return dataclasses.replace(batch, inputs=inputs, targets=targets).backward()

    def state_dict(self) -> dict[str, Any]:
        return {"size": self._size, "batches": None if self._batches is None else self._batches.state_dict()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        if state["batches"] is not None:
            self._begin(state["size"]).load_state_dict(state["batches"])

    def _begin(self, size: int) -> TrainingBatches:
        if self._view is None:
            raise InputError("the joint method is for runs that tell of a task's beginning")
        self._size = size
        self._batches = batches_of(self._view.splits.train, size, self._seed, self._view.workload.augment)
        return self._batches


def expect_continual_net(model: nn.Module) -> ContinualNet:
    """The model.

    Raises:
        InputError: it is another one than the methods need.
    """
    if not isinstance(model, ContinualNet):
        raise InputError(
            f"methods of continual learning need a workload whose model is a ContinualNet, such as 'split-digits', got "
            f"{type(model).__name__}"
        )
    return model


def refuse_ranks(batch: Batch) -> None:
    """Raise where several processes share a batch."""
    if batch.ranks.size > 1:
        raise InputError("methods of continual learning cannot be shared among processes: train in one")


def _seed_generator(purpose: str, seed: int) -> Generator:
    return Generator(device="cpu").manual_seed(derived_seed(purpose, seed))


def _choose(length: int, count: int, generator: Generator) -> Tensor:
    """Draw so many different rows, or all."""
    return torch.randperm(length, generator=generator, device="cpu")[:count]


def _set_lrs(optimizer: Optimizer, lrs: list[float]) -> None:
    for group, lr in zip(optimizer.param_groups, lrs, strict=True):
        group["lr"] = lr

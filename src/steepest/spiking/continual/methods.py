"""The methods of continual learning for ``steepest compare``: SGD without momentum, and what stands beside it.

::

    naive                       nothing
    blocks                      output blocks
    cost-per-synapse            output blocks, the hidden weight held by the cost per synapse
    cost-per-synapse-replay     the same, and replay
    replay                      output blocks and replay
    ewc, si                     elastic weight consolidation, synaptic intelligence; all weights, a plain output layer
    blocks-ewc, blocks-si       the same with output blocks
    joint                       batches of the data of all tasks at every task: no continual learning, an upper end

Replay and Fisher information cost gradients that no budget counts. After the last task of five of 12,000 samples, ten
epochs each, the replay takes 5 * 5 * 363 = 9,075 samples, 7.6 % of the task's 120,000; over all five tasks 4.5 %.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from steepest._errors import InputError
from steepest.spiking.continual.cost_per_synapse import CostPerSynapse
from steepest.spiking.continual.elastic import ElasticWeightConsolidation
from steepest.spiking.continual.parts import AllTasks, Costs, Fishers, Gains, Replay, expect_continual_net, refuse_ranks
from steepest.spiking.continual.synaptic_intelligence import SynapticIntelligence
from steepest.training.definitions.estimator import Batch, Estimator, Resumable
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Range

STORED: dict[str, Any] = {"stored": 363, "share": 0.1, "passes": 5, "batch": 10}
"""Of a replay: the source's 363 samples of each task, at most a tenth of it, five passes, batches of 10."""
_LR = Range(1e-4, 1e-1)
_NO_MOMENTUM = {"momentum": 0.0}


def _sgd_with_strength(params: ParamsT, strength: float, **options: Any) -> torch.optim.SGD:
    """Make SGD whose groups hold the strength of the penalty beside it."""
    optimizer = torch.optim.SGD(params, **options)
    for group in optimizer.param_groups:
        group["strength"] = strength
    return optimizer


def _read_strength(optimizer: Optimizer) -> float:
    if "strength" not in (group := optimizer.param_groups[0]):
        raise InputError(f"a penalty needs its strength in the groups of the optimizer, got {sorted(group)}")
    return float(group["strength"])


def _use_blocks(model: nn.Module) -> None:
    expect_continual_net(model).use_blocks()


@contextmanager
def _after_steps(optimizer: Optimizer, penalty: CostPerSynapse | SynapticIntelligence) -> Iterator[None]:
    """Call the penalty after each step of the optimizer."""
    hook = optimizer.register_step_post_hook(lambda *_: penalty.step())
    try:
        yield
    finally:
        hook.remove()


@contextmanager
def _hold_costs(
    model: nn.Module, optimizer: Optimizer, seed: int, *, zeta: float, **replay: Any
) -> Iterator[Resumable]:
    hidden = expect_continual_net(model).hidden
    penalty = CostPerSynapse([("hidden.weight", hidden.weight)], _read_strength(optimizer), zeta)
    costs = Costs(penalty)
    with _after_steps(optimizer, penalty):
        yield Resumable(costs.take, (costs, Replay(seed=seed, penalty=penalty, **replay)) if replay else (costs,))


@contextmanager
def _hold_fishers(model: nn.Module, optimizer: Optimizer, seed: int, *, samples: int) -> Iterator[Resumable]:
    penalty = ElasticWeightConsolidation(model.named_parameters(), _read_strength(optimizer))
    fishers = Fishers(penalty, samples, seed)
    yield Resumable(fishers.take, (fishers,))


@contextmanager
def _hold_gains(model: nn.Module, optimizer: Optimizer, seed: int, *, xi: float) -> Iterator[Resumable]:
    penalty = SynapticIntelligence(model.named_parameters(), _read_strength(optimizer), xi)
    gains = Gains(penalty)
    with _after_steps(optimizer, penalty):
        yield Resumable(gains.take, (gains,))


@contextmanager
def _replay(model: nn.Module, optimizer: Optimizer, seed: int, **options: Any) -> Iterator[Resumable]:
    def take(batch: Batch) -> torch.Tensor:
        refuse_ranks(batch)
        return batch.backward()

    yield Resumable(take, (Replay(seed=seed, **options),))


@contextmanager
def _join(model: nn.Module, optimizer: Optimizer, seed: int) -> Iterator[Resumable]:
    tasks = AllTasks(seed)
    yield Resumable(tasks.take, (tasks,))


_COSTS = Estimator("cost-per-synapse", _hold_costs, "points", options={"zeta": 1e-3})
_COSTS_REPLAY = Estimator("cost-per-synapse-replay", _hold_costs, "points", options={"zeta": 1e-3, **STORED})
_FISHERS = Estimator("ewc", _hold_fishers, "points", options={"samples": 200})
_GAINS = Estimator("si", _hold_gains, "points", options={"xi": 0.1})
_STORED = Estimator("replay", _replay, "points", options=STORED)
_ALL_TASKS = Estimator("joint", _join, "points")


def _plain(name: str, description: str, *estimators: Estimator, blocks: bool = True) -> Method:
    return Method(
        name,
        torch.optim.SGD,
        space={"lr": _LR},
        fixed=_NO_MOMENTUM,
        estimators=estimators,
        prepare=_use_blocks if blocks else None,
        description=description,
    )


def _held(name: str, description: str, estimator: Estimator, strength: Range, *, blocks: bool = True) -> Method:
    return Method(
        name,
        _sgd_with_strength,
        space={"lr": _LR, "strength": strength},
        fixed=_NO_MOMENTUM,
        estimators=(estimator,),
        prepare=_use_blocks if blocks else None,
        description=description,
    )


_COST_STRENGTH, _EWC_STRENGTH, _SI_STRENGTH = Range(1e3, 1e9), Range(1.0, 1e4), Range(1e-1, 1e3)
naive = _plain("naive", "SGD, and nothing against forgetting", blocks=False)
blocks = _plain("blocks", "output blocks, each trained alone and centred where they are put together")
cost_per_synapse = _held(
    "cost-per-synapse", "output blocks, the hidden weight held by what it cost to move it", _COSTS, _COST_STRENGTH
)
cost_per_synapse_replay = _held(
    "cost-per-synapse-replay", "the same, and replay after each task", _COSTS_REPLAY, _COST_STRENGTH
)
replay = _plain("replay", "output blocks, and replay after each task", _STORED)
ewc = _held("ewc", "elastic weight consolidation", _FISHERS, _EWC_STRENGTH, blocks=False)
si = _held("si", "synaptic intelligence", _GAINS, _SI_STRENGTH, blocks=False)
blocks_ewc = _held("blocks-ewc", "output blocks and elastic weight consolidation", _FISHERS, _EWC_STRENGTH)
blocks_si = _held("blocks-si", "output blocks and synaptic intelligence", _GAINS, _SI_STRENGTH)
joint = _plain("joint", "the data of all tasks at every task, in as many steps", _ALL_TASKS, blocks=False)
METHODS = {
    method.name: method
    for method in (
        naive,
        blocks,
        cost_per_synapse,
        cost_per_synapse_replay,
        replay,
        ewc,
        si,
        blocks_ewc,
        blocks_si,
        joint,
    )
}

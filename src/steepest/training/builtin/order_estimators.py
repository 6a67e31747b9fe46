"""The built-in estimators of gradients through orders, for workloads whose model is an ``OrderModel``."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.gradients.permutations import REBAR, RELAX, OrderGradient, RelaxedSort, ScoreFunction
from steepest.gradients.permutations.black_box import evaluate
from steepest.optim.norms import local
from steepest.training.builtin.orders import OrderModel, Relaxed
from steepest.training.definitions.estimator import Batch, Estimator, Resumable

Make = Callable[..., OrderGradient]


@contextmanager
def _attach_to_orders(
    model: nn.Module,
    optimizer: Optimizer,
    seed: int,
    *,
    name: str,
    make: Make,
    samples: int,
    **options: Any,
) -> Iterator[Resumable]:
    """Take the gradient of a model's logits from so many orders for each sample of a batch; a critic's parameters join
    the optimizer for that time, at the values of the group that holds the logits."""
    orders = _expect_orders(name, model)
    generator = Generator(orders.logits.device).manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # the first weights of a critic are drawn from torch's own generator
        torch.default_generator.manual_seed(seed)
        estimator = make(orders, generator, **options)
    with _join(optimizer, orders.logits, estimator, name):
        yield Resumable(partial(_take, orders, estimator, samples), (_Saved(estimator, generator),))


def _expect_orders(name: str, model: nn.Module) -> OrderModel:
    """Refuse a model that the estimator cannot work with."""
    if not isinstance(model, OrderModel):
        raise InputError(
            f"{name} is an estimator of orders and needs a workload whose model is an OrderModel, such as "
            f"'permutation-toy', got {type(model).__name__}"
        )
    if local(model.logits) is not model.logits:
        raise InputError(f"{name} cannot be shared among processes: train in one")
    return model


def _take(model: OrderModel, estimator: OrderGradient, samples: int, batch: Batch) -> Tensor:
    """Write the gradient; the mean of f is the loss, and NaN where the run has diverged."""
    if batch.ranks.size > 1:
        raise InputError("an estimator of orders cannot be shared among processes: train in one")
    lost = torch.full_like(model.logits[0], torch.nan, requires_grad=False)
    if not torch.isfinite(model.logits).all():
        return lost
    answered = False

    def f(orders: Tensor) -> Tensor:
        nonlocal answered
        values = evaluate(model.f, orders, model.logits)
        answered = True
        return values

    try:
        found = estimator.backward(f, samples * len(batch))
    except ValueError:
        if not answered:
            raise
        return lost  # f has finite values, so it is the critic that has none any longer
    return torch.as_tensor(found.value, dtype=model.logits.dtype, device=model.logits.device)


@contextmanager
def _join(optimizer: Optimizer, logits: Tensor, estimator: OrderGradient, name: str) -> Iterator[None]:
    """Let the optimizer step the critic's parameters as it does the logits."""
    learnt = list(estimator.named_parameters())
    if not learnt:
        yield
        return
    if not callable(getattr(optimizer, "add_param_group", None)):
        raise InputError(f"{name} has parameters of its own, and {type(optimizer).__name__} has no add_param_group")
    groups = optimizer.param_groups
    beside = next(group for group in groups if any(p is logits for p in group["params"]))
    values = {key: value for key, value in beside.items() if key not in ("params", "param_names")}
    optimizer.add_param_group({"params": learnt if "param_names" in beside else [p for _, p in learnt], **values})
    count = len(groups)
    try:
        yield
    finally:
        del optimizer.param_groups[count - 1]
        for _, parameter in learnt:
            optimizer.state.pop(parameter, None)


class _Saved:
    """Hold what changes from step to step: the critic, and where the random numbers stand."""

    def __init__(self, estimator: OrderGradient, generator: Generator) -> None:
        self._estimator, self._generator = estimator, generator

    def state_dict(self) -> dict[str, Any]:
        return {"critic": dict(self._estimator.state_dict()), "generator": self._generator.get_state()}

    def load_state_dict(self, state: dict[str, Any], /) -> None:
        self._estimator.load_state_dict(state["critic"])
        self._generator.set_state(state["generator"])


def _find_relaxed(model: OrderModel) -> Relaxed:
    """Look up f on relaxed matrices."""
    if model.relaxed is None:
        raise InputError(
            "this estimator of orders needs the OrderModel's relaxed=, f on relaxed matrices; reinforce, loo and "
            "relax-free need f alone"
        )
    return model.relaxed


def _make_score(model: OrderModel, generator: Generator, *, baseline: str) -> OrderGradient:
    return ScoreFunction(model.logits, baseline, generator)


def _make_rebar(model: OrderModel, generator: Generator) -> OrderGradient:
    return REBAR(model.logits, _find_relaxed(model), generator)


def _make_relax(model: OrderModel, generator: Generator) -> OrderGradient:
    return RELAX(model.logits, _find_relaxed(model), generator=generator)


def _make_relax_free(model: OrderModel, generator: Generator) -> OrderGradient:
    return RELAX(model.logits, generator=generator)


def _make_relaxed_sort(
    model: OrderModel, generator: Generator, *, relaxation: Any, temperature: float
) -> OrderGradient:
    return RelaxedSort(model.logits, _find_relaxed(model), relaxation, temperature, generator)


def _estimator(name: str, make: Make, description: str, *, samples: int = 1, **options: Any) -> Estimator:
    """Make one that takes so many orders for each sample of a batch, and pays as many evaluations of f."""
    attach = partial(_attach_to_orders, name=name, make=make, samples=samples)
    return Estimator(name, attach, "points", options, evaluations_per_step=samples, description=description)


def _comparator(relaxation: str, what: str) -> Estimator:
    make = partial(_make_relaxed_sort, relaxation=relaxation)
    return _estimator(relaxation, make, f"orders: {what}, biased", temperature=1.0)


_ALL = (
    _estimator("reinforce", partial(_make_score, baseline="none"), "orders: the score function, for any f"),
    _estimator(
        "loo",
        partial(_make_score, baseline="leave-one-out"),
        "orders: the score function of 4, each with the others as its baseline, for any f",
        samples=4,
    ),
    _estimator("rebar", _make_rebar, "orders: a control variate of f relaxed, needs f relaxed"),
    _estimator("relax", _make_relax, "orders: the same with a learnt network, needs f relaxed"),
    _estimator("relax-free", _make_relax_free, "orders: a control variate that is a learnt network, for any f"),
    _comparator("neural-sort", "through NeuralSort's relaxation"),
    _comparator("straight-through", "through NeuralSort's relaxation at hard orders"),
    _comparator("gumbel-sinkhorn", "through Sinkhorn's relaxation"),
)
ORDER_ESTIMATORS = {estimator.name: estimator for estimator in _ALL}

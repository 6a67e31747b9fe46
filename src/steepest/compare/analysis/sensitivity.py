"""Whether the order of the methods hangs on the target or on the budget, from the recorded curves alone."""

import itertools
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.records.record import Record
from steepest.compare.spec import MethodSpec, Spec, WorkloadSpec

SHIFT = 0.05


@dataclass(frozen=True)
class Order:
    """The methods from best to worst, equals together.

    ``at`` is the target, or the share of the budget, and ``swapped`` holds the pairs that stand the other way round in
    the study's own order. ``groups`` is empty where no method reaches the target.
    """

    at: float
    groups: tuple[tuple[str, ...], ...]
    swapped: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Sensitivity:
    """The order by evaluations to the target and the order by validation metric, each with what becomes of it."""

    target: Order
    other_targets: tuple[Order, ...]
    budget: Order
    other_budgets: tuple[Order, ...]


def sensitivity(summary: Summary) -> Sensitivity | None:
    """How the order of the methods changes with the target and the budget; ``None`` with fewer than two to order.

    The budget can only be made smaller: no run went on beyond it. A curve cut short is not the run with that budget,
    whose learning rate would have come down sooner; it is what there is without training anew.
    """
    rows = [row for row in summary.rows if any(r.status == "finished" and r.curve for r in row.finals)]
    if len(rows) < 2:
        return None
    spec = summary.spec
    target = _by_target(summary, rows, spec.workload.target)
    budget = _by_budget(summary, rows, spec.epochs)
    return Sensitivity(
        target=target,
        other_targets=tuple(
            _against(target, _by_target(summary, rows, other)) for other in other_targets(spec.workload)
        ),
        budget=budget,
        other_budgets=tuple(
            _against(budget, _by_budget(summary, rows, epochs)) for epochs in shorter_budgets(spec.epochs)
        ),
    )


def other_targets(workload: WorkloadSpec) -> list[float]:
    """The target moved by 5 % either way and, where it is a share to be made high, by 5 % of what it lacks to 100 %.

    Five per cent above an accuracy of 95 % lies 99.75 %, which no method may reach; a twentieth of the errors less is
    95.25 %.
    """
    target = workload.target
    share = workload.percent and workload.higher_is_better
    moves = [target * SHIFT, *([(1 - target) * SHIFT] if share else [])]
    found = {target + sign * move for move in moves for sign in (-1, 1)} - {target}
    return sorted(x for x in found if not share or x <= 1)


def shorter_budgets(epochs: int) -> list[int]:
    """The epochs whose ends come last before 95 % and 90 % of the budget; the curves know no point between.

    Example:
        >>> shorter_budgets(20), shorter_budgets(8), shorter_budgets(1)
        ([19, 18], [7], [])
    """
    shares = (1 - SHIFT, 1 - 2 * SHIFT)
    return [e for e, _ in itertools.groupby(math.floor(share * epochs + 1e-9) for share in shares) if e > 0]


def _by_target(summary: Summary, rows: list[Row], target: float) -> Order:
    medians = {
        row.method.name: statistics.median([paid_to(summary.spec, r, target) for r in row.finals if r.curve])
        for row in rows
    }
    return Order(target, _group_by_cost(medians) if any(map(math.isfinite, medians.values())) else ())


def paid_to(spec: Spec, record: Record, target: float) -> float:
    """What had been paid, in the unit of the budget, when a run's validation metric first was at the target; a miss is
    infinite."""
    sign = 1 if spec.workload.higher_is_better else -1
    return next((at for at, x in _list_points(spec, record) if sign * x >= sign * target), math.inf)


def _by_budget(summary: Summary, rows: list[Row], epochs: int) -> Order:
    spec = summary.spec
    sign = -1 if spec.workload.higher_is_better else 1
    budget = spec.whole * epochs / spec.epochs
    means = {}  # a step is paid whole: one of two evaluations can end one beyond the budget
    for row in rows:
        runs = [r for r in row.finals if r.status == "finished" and r.curve]
        means[row.method.name] = sign * statistics.fmean(
            _find_metric_at(spec, r, budget + _find_excess(spec, row.method)) for r in runs
        )
    return Order(epochs / spec.epochs, _group_by_cost(means))


def _find_excess(spec: Spec, method: MethodSpec) -> float:
    """Find by how much the first step at the end of an epoch may be beyond it."""
    if spec.budget == "evaluations":
        return spec.cost(method) - 1
    return spec.paid(method.name, spec.cost(method))


def _find_metric_at(spec: Spec, record: Record, paid: float) -> float:
    """Find the validation metric that was measured last by then."""
    return [x for at, x in _list_points(spec, record) if at <= paid][-1]


def _list_points(spec: Spec, record: Record) -> list[tuple[float, float]]:
    """List what was paid and the validation metric at each point of a run's curve that has both."""
    curve = record.curve or {"gradient_evaluations": [], "validation_metric": []}
    points = zip(curve["gradient_evaluations"], curve["validation_metric"], strict=True)
    return [(spec.paid(record.method, at), x) for at, x in points if at is not None and x is not None]


def _group_by_cost(costs: Mapping[str, float]) -> tuple[tuple[str, ...], ...]:
    """Group methods by rising cost, those of equal cost together."""
    names = sorted(costs, key=costs.__getitem__)
    return tuple(tuple(group) for _, group in itertools.groupby(names, key=costs.__getitem__))


def _against(reference: Order, order: Order) -> Order:
    places, others = ({n: i for i, group in enumerate(o.groups) for n in group} for o in (reference, order))
    names = [name for group in reference.groups for name in sorted(group) if name in others]
    swapped = [
        (a, b) for a, b in itertools.combinations(names, 2) if (places[a] - places[b]) * (others[a] - others[b]) < 0
    ]
    return Order(order.at, order.groups, tuple(swapped))

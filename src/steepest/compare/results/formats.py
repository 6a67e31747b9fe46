"""Numbers as text."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from steepest.compare.analysis.statistics import Interval
from steepest.compare.analysis.summary import Row
from steepest.compare.analysis.verdicts import Comparison
from steepest.compare.spec import MethodSpec, Spec
from steepest.page.table import Value
from steepest.training.definitions.range import Domain

NONE = "-"


LOWER = "\N{DOWNWARDS ARROW}"  # beside a metric of which less is better


def format_metric_name(spec: Spec) -> str:
    """A metric's name, with an arrow down where lower is better."""
    return spec.workload.metric_name + ("" if spec.workload.higher_is_better else f" {LOWER}")


def format_metric(spec: Spec, value: float | None) -> str:
    """A metric as the report prints it, such as ``97.21 %`` or ``1.234``; a hyphen for none."""
    if value is None:
        return NONE
    return f"{100 * value:.2f}\N{NO-BREAK SPACE}%" if spec.workload.percent else f"{value:.4g}"


def format_difference(spec: Spec, value: float | None) -> str:
    """A signed difference of two metrics; of percentages in percentage points, such as ``+0.31 pp``."""
    if value is None:
        return NONE
    # Adding 0 turns a negative zero positive.
    return f"{round(100 * value, 2) + 0.0:+.2f}\N{NO-BREAK SPACE}pp" if spec.workload.percent else f"{value:+.4g}"


def format_size(spec: Spec, value: float | None) -> str:
    """The size of a difference of two metrics, such as ``0.31 pp``."""
    return NONE if value is None else format_difference(spec, abs(value)).removeprefix("+")


def format_target(spec: Spec, value: float) -> str:
    """The target, without digits that nobody gave: ``95 %``."""
    return f"{100 * value:.6g}\N{NO-BREAK SPACE}%" if spec.workload.percent else f"{value:.6g}"


def format_metric_interval(spec: Spec, interval: Interval | None) -> str:
    if interval is None:
        return NONE
    if spec.workload.percent:
        return f"{100 * interval.low:.2f} to {100 * interval.high:.2f}\N{NO-BREAK SPACE}%"
    return f"{interval.low:.4g} to {interval.high:.4g}"


def format_difference_interval(spec: Spec, interval: Interval | None) -> str:
    if interval is None:
        return NONE
    if spec.workload.percent:
        return f"{100 * interval.low:+.2f} to {100 * interval.high:+.2f}\N{NO-BREAK SPACE}pp"
    return f"{interval.low:+.4g} to {interval.high:+.4g}"


def format_lr(row: Row) -> str:
    """The chosen lr, or the first of what was searched with its name, where that is no lr."""
    chosen = row.all_chosen or ([] if row.chosen is None else [row.chosen])
    name = row.method.leading
    found = [r.hyperparameters[name] for r in chosen if name in r.hyperparameters]
    return ("" if name == "lr" else f"{name} ") + format_values(found) if found else NONE


def format_value(value: Any) -> str:
    """A hyperparameter, such as ``0.0316``, ``16``, ``True`` or ``cubic``."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def cell_value(value: Any) -> Value:
    """A hyperparameter as a table's data have it: a tuple as a text."""
    return str(value) if isinstance(value, tuple) else value


def format_values(values: Sequence[Any]) -> str:
    """One, or the lowest and the highest; of what has no order all that there are.

    Example:
        >>> format_values([0.3, 0.1]), format_values([True, False, True])
        ('0.1 to 0.3', 'True, False')
    """
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        found = [format_value(value) for value in sorted(values)]
        return found[0] if found[0] == found[-1] else f"{found[0]} to {found[-1]}"
    return ", ".join(dict.fromkeys(map(format_value, values)))


def format_evaluations_to_target(row: Row) -> str:
    """Median to the target, in the unit of the budget; a miss is infinite."""
    return format_evaluations(row.evaluations_to_target)


def format_evaluations(value: float | None) -> str:
    """``1,200``; ``∞`` for a miss and a hyphen for none."""
    if value is None:
        return NONE
    return "∞" if math.isinf(value) else format_count(value)


def format_count(value: float) -> str:
    """What is counted in evaluations, samples or seconds, such as ``1,200`` or ``3.62``."""
    return f"{value:,.0f}" if value >= 100 or value == round(value) else f"{value:.3g}"


def format_ratio(value: float | None) -> str:
    """A ratio of costs, such as ``0.83``; ``∞`` where one side misses, a hyphen for none."""
    if value is None:
        return NONE
    return "∞" if math.isinf(value) else f"{value:.2f}"


def format_verdict(comparison: Comparison) -> str:
    return comparison.verdict + (f" ({comparison.reason})" if comparison.reason else "")


def format_others(row: Row) -> str:
    """The chosen values of what was searched beside lr, such as ``momentum 0.93``; empty if nothing was."""
    if row.chosen is None or len(row.all_chosen) > 1:
        return ""
    others = ((name, value) for name, value in row.chosen.hyperparameters.items() if name != row.method.leading)
    return ", ".join(f"{name} {format_value(value)}" for name, value in others)


def format_spread(values: Sequence[float], number: str) -> tuple[str, str]:
    """Median and range over the seeds, such as ``12.3`` and ``9.8 to 15.1``."""
    if not values:
        return NONE, ""
    low, high = (format(end, number) for end in (min(values), max(values)))
    return format(statistics.median(values), number), f"{low} to {high}"


def format_gradient(method: MethodSpec) -> str:
    """Where a method's gradient comes from, such as ``sam (rho=0.05)``."""
    return "; ".join(f"{name} ({format_options(options)})" for name, options in method.estimators.items()) or "plain"


def format_options(options: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in options.items()) or NONE


def format_ranges(space: Mapping[str, Domain]) -> str:
    """What is searched, such as ``lr 0.01:10, nesterov True,False``."""
    return ", ".join(f"{key} {domain}" for key, domain in space.items())

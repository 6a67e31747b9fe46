"""The tables of the report as data, in full precision: what a button or ``--csv`` writes, and what a click sorts by."""

import math
import statistics
from collections.abc import Iterable, Sequence

from steepest.compare.analysis.profiles import Across
from steepest.compare.analysis.sensitivity import evaluations_to
from steepest.compare.analysis.statistics import Interval
from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.trust import assured, expected_of_half, refound
from steepest.compare.records.errors import headline
from steepest.compare.records.record import Record
from steepest.compare.results.caveats import order_lines
from steepest.compare.results.formats import format_gradient, format_options, format_ranges
from steepest.compare.spec import Spec
from steepest.page.table import Table, Value


def results(summary: Summary) -> Table:
    """One row a method, best mean first."""
    searched = hyperparameters(summary)
    rows = []
    for row in summary.rows:
        c, chosen = row.comparison, row.chosen
        rows.append(
            {
                "method": row.method.name,
                "test_metric": row.mean,
                **_ends("test_metric", row.interval),
                "seeds": row.seeds,
                "difference": c.difference,
                **_ends("difference", c.interval),
                "verdict": c.verdict,
                "reason": c.reason,
                "evaluations_to_target": row.evaluations_to_target,
                "seeds_at_target": row.reached,
                "final_runs": len(row.finals),
                **{name: None if chosen is None else chosen.hyperparameters.get(name) for name in searched},
                **(_sharpness(row) if summary.spec.sharpness_samples else {}),
                "diverged": row.diverged,
                "failed": row.failed,
                "pruned": row.pruned,
                "runs": row.runs,
                "seconds": row.seconds,
            }
        )
    return _table(rows)


def trust(summary: Summary) -> Table:
    """How far to trust it: what the seeds could have shown, and the luck of the search."""
    spec = summary.spec
    return _table(
        {
            "method": row.method.name,
            "detectable": row.comparison.detectable,
            "p_value": row.comparison.p_value,
            "adjusted_p_value": row.comparison.adjusted,
            **_ends("bootstrap_difference", row.comparison.bootstrap),
            "found": None if row.chosen is None else row.chosen.validation_metric,
            "found_on_fresh_seeds": refound(row),
            "another_search": assured(spec, row),
            "half_the_search": expected_of_half(spec, row),
        }
        for row in summary.rows
    )


def shown_columns(summary: Summary) -> dict[str, bool]:
    """Which columns of the page's tables have anything to say; the files of ``--csv`` have them all."""
    rows, spec = summary.rows, summary.spec
    comparisons = [row.comparison for row in rows]
    return {
        "difference": len(rows) > 1,
        "target": any(row.reached for row in rows),
        "lr": any(row.chosen is not None for row in rows),
        "sharpness": any(row.sharpness for row in rows),
        "lost": any(row.diverged or row.failed or row.pruned for row in rows),
        "detectable": any(c.detectable is not None for c in comparisons),
        "p_value": any(c.p_value is not None for c in comparisons),
        "bootstrap": any(c.bootstrap is not None for c in comparisons),
        "another_search": any(
            assured(spec, row) is not None or expected_of_half(spec, row) is not None for row in rows
        ),
        "fixed": any(row.method.fixed for row in rows),
        "cost": any(row.method.evaluations_per_step > 1 for row in rows),
        "seconds": any(row.seconds is not None for row in rows),
    }


def order(summary: Summary) -> Table:
    """The order of the methods by target and by budget."""
    return Table(("ordered_by", "order"), [*order_lines(summary)])


def targets(summary: Summary) -> Table:
    """Median evaluations to each target and how many seeds got there, one row a method."""
    rows = []
    for row in summary.rows:
        found: dict[str, Value] = {"method": row.method.name}
        for target, (median, reached, runs) in to_targets(summary.spec, row).items():
            found |= {target_column(target): median, f"seeds_at_{target:g}": reached, "final_runs": runs}
        rows.append(found)
    return _table(rows)


def to_targets(spec: Spec, row: Row) -> dict[float, tuple[float | None, int, int]]:
    """Target to the median evaluations of the final runs, how many of them got there, and of how many."""
    found = {}
    for target in spec.targets:
        each = [x for r in row.finals if (x := reached_at(spec, r, target)) is not None]
        median = statistics.median(each) if each else None
        found[target] = median, sum(map(math.isfinite, each)), len(each)
    return found


def target_column(target: float) -> str:
    """The column that holds the evaluations to a target."""
    return f"evaluations_to_{target:g}"


def reached_at(spec: Spec, record: Record, target: float) -> float | None:
    """Evaluations of a run to a target; infinite if it misses, ``None`` if the run failed."""
    if record.curve is None:
        return None
    return evaluations_to(record, target, spec.workload.higher_is_better)


def methods(summary: Summary) -> Table:
    """What was compared."""
    return _table(
        {
            "method": row.method.name,
            "optimizer": row.method.optimizer,
            "gradient": format_gradient(row.method),
            "searched": format_ranges(row.method.space),
            "fixed": format_options(row.method.fixed),
            "evaluations_per_step": row.method.evaluations_per_step,
            "seconds": row.seconds,
        }
        for row in summary.rows
    )


def runs(summary: Summary) -> Table:
    """Every run of the search and every final run."""
    spec = summary.spec
    searched = hyperparameters(summary)
    return _table(
        {
            "method": r.method,
            "phase": r.phase,
            "trial": r.trial,
            "seed": r.seed,
            "status": r.status,
            **{name: r.hyperparameters.get(name) for name in searched},
            "validation_metric": r.validation_metric,
            "validation_loss": r.validation_loss,
            "test_metric": r.test_metric,
            "test_loss": r.test_loss,
            **{target_column(target): reached_at(spec, r, target) for target in spec.targets},
            "gradient_evaluations": r.gradient_evaluations,
            "samples": r.samples,
            "seconds": r.seconds,
            **({"sharpness": r.sharpness} if spec.sharpness_samples else {}),
            "device": r.device,
            "error": None if r.error is None else headline(r.error),
        }
        for r in records_of(summary)
    )


def records_of(summary: Summary) -> list[Record]:
    """All runs: methods in the order of the results, the search before the final runs."""
    return [r for row in summary.rows for r in [*sorted(row.tuned, key=_trial), *sorted(row.finals, key=_trial)]]


def across_workloads(found: Sequence[Across], summaries: Sequence[Summary]) -> Table:
    """The scores over all workloads, one row a method, highest score first."""
    names = [summary.spec.name for summary in summaries]
    return _table(
        {
            "method": row.method,
            "score": row.score,
            "geometric_mean_ratio": row.geometric_mean,
            "workloads_compared": row.compared,
            "median_ratio": row.median,
            "workloads_reached": row.reached,
            "workloads": len(names),
            **{f"evaluations_to_target: {name}": cost for name, cost in zip(names, row.costs, strict=True)},
        }
        for row in found
    )


def overview(summaries: Sequence[Summary]) -> Table:
    """Difference to the baseline and verdict by method and workload, methods in the order of the study."""
    rows = []
    for name, cells in by_method(summaries).items():
        row: dict[str, Value] = {"method": name}
        for summary, cell in zip(summaries, cells, strict=True):
            where = summary.spec.name
            row |= {f"difference: {where}": cell.comparison.difference, f"verdict: {where}": cell.comparison.verdict}
        rows.append(row)
    return _table(rows)


def by_method(summaries: Sequence[Summary]) -> dict[str, list[Row]]:
    """Each method's rows, workload by workload; methods in the order of the study."""
    rows = [{row.method.name: row for row in summary.rows} for summary in summaries]
    return {method.name: [found[method.name] for found in rows] for method in summaries[0].spec.methods}


def hyperparameters(summary: Summary) -> list[str]:
    """Names of all that was searched, lr first."""
    names = dict.fromkeys(name for method in summary.spec.methods for name in method.space)
    return sorted(names, key=lambda name: name != "lr")


def _ends(name: str, interval: Interval | None) -> dict[str, Value]:
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{name}_low": low, f"{name}_high": high}


def _sharpness(row: Row) -> dict[str, Value]:
    values = row.sharpness
    return {
        "sharpness": statistics.median(values) if values else None,
        "sharpness_low": min(values, default=None),
        "sharpness_high": max(values, default=None),
    }


def _table(rows: Iterable[dict[str, Value]]) -> Table:
    found = list(rows)
    return Table(tuple(found[0]) if found else (), [tuple(row.values()) for row in found])


def _trial(record: Record) -> int:
    return record.trial

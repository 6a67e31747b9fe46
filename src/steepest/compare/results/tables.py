"""The tables of the report as data, in full precision: what a button or ``--csv`` writes, and what a click sorts by."""

import math
import statistics
from collections.abc import Iterable, Sequence

from steepest.compare.analysis.pairwise import Pair
from steepest.compare.analysis.profiles import Across
from steepest.compare.analysis.sensitivity import paid_to
from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.records.errors import headline
from steepest.compare.records.record import Record
from steepest.compare.results.caveats import order_lines
from steepest.compare.results.columns import (
    method_columns,
    pair_columns,
    pairs_of,
    result_columns,
    searched_names,
    task_columns,
    trust_columns,
)
from steepest.compare.results.formats import cell_value
from steepest.compare.spec import Spec
from steepest.page.table import Column, Table, Value, table_of


def results(summary: Summary) -> Table:
    """One row a method, best mean first."""
    return _by_method(summary, result_columns(summary))


def trust(summary: Summary) -> Table:
    """How far to trust it: what the seeds could have shown, and the luck of the search."""
    return _by_method(summary, trust_columns(summary))


def methods(summary: Summary) -> Table:
    """What was compared."""
    return _by_method(summary, method_columns(summary))


def tasks(summary: Summary) -> Table:
    """Of a sequence of tasks, the metric on each."""
    return _by_method(summary, task_columns(summary))


def task_matrices(summary: Summary) -> Table:
    """The validation metric after each task on all of them, of every run that came so far."""
    return _table(
        {
            "method": r.method,
            "phase": r.phase,
            "trial": r.trial,
            "seed": r.seed,
            "after_task": after,
            "task": task,
            "validation_metric": value,
            "test_metric": r.test_metrics[task - 1] if r.test_metrics and after == len(r.test_metrics) else None,
        }
        for r in records_of(summary)
        for after, values in enumerate(r.task_matrix or [], 1)
        for task, value in enumerate(values, 1)
    )


def _by_method(summary: Summary, columns: Sequence[Column[Row]]) -> Table:
    name = Column[Row](by="method", values=lambda row: {"method": row.method.name})
    return table_of([name, *columns], summary.rows)


def order(summary: Summary) -> Table:
    """The order of the methods by target and by budget."""
    return Table(("ordered_by", "order"), [*order_lines(summary)])


def targets(summary: Summary) -> Table:
    """Median of what was paid to each target and how many seeds got there, one row a method."""
    rows = []
    for row in summary.rows:
        found: dict[str, Value] = {"method": row.method.name}
        for target, (median, reached, runs) in to_targets(summary.spec, row).items():
            found |= {target_column(summary.spec, target): median, f"seeds_at_{target:g}": reached, "final_runs": runs}
        rows.append(found)
    return _table(rows)


def to_targets(spec: Spec, row: Row) -> dict[float, tuple[float | None, int, int]]:
    """Target to the median of what the final runs paid, how many of them got there, and of how many."""
    found = {}
    for target in spec.targets:
        each = [x for r in row.finals if (x := reached_at(spec, r, target)) is not None]
        median = statistics.median(each) if each else None
        found[target] = median, sum(map(math.isfinite, each)), len(each)
    return found


def target_column(spec: Spec, target: float) -> str:
    """The column that holds what was paid to a target."""
    return f"{spec.budget}_to_{target:g}"


def reached_at(spec: Spec, record: Record, target: float) -> float | None:
    """What a run paid to a target, in the unit of the budget; infinite if it misses, ``None`` if the run failed."""
    return None if record.curve is None else paid_to(spec, record, target)


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
            **{name: cell_value(r.hyperparameters.get(name)) for name in searched},
            "validation_metric": r.validation_metric,
            "validation_loss": r.validation_loss,
            "test_metric": r.test_metric,
            "test_loss": r.test_loss,
            **{target_column(spec, target): reached_at(spec, r, target) for target in spec.targets},
            "gradient_evaluations": r.gradient_evaluations,
            "samples": r.samples,
            "seconds": r.seconds,
            **{instrument.name: r.measures.get(instrument.name) for instrument in spec.columns},
            "device": r.device,
            "error": None if r.error is None else headline(r.error),
        }
        for r in records_of(summary)
    )


def records_of(summary: Summary) -> list[Record]:
    """All runs: methods in the order of the results, the search before the final runs."""
    return [
        r for row in summary.rows for runs in (row.screened, row.tuned, row.finals) for r in sorted(runs, key=_trial)
    ]


def pairs(summary: Summary) -> Table:
    """Every two methods, one row a pair; nothing if the study is not to say so."""
    names = Column[Pair](by="method", values=lambda pair: {"method": pair.first, "minus": pair.second})
    return table_of([names, *pair_columns(summary)], pairs_of(summary))


def across_workloads(found: Sequence[Across], summaries: Sequence[Summary]) -> Table:
    """The scores over all workloads, one row a method, highest score first."""
    names, unit = [summary.spec.name for summary in summaries], summaries[0].spec.budget
    return _table(
        {
            "method": row.method,
            "score": row.score,
            "geometric_mean_ratio": row.geometric_mean,
            "workloads_compared": row.compared,
            "median_ratio": row.median,
            "workloads_reached": row.reached,
            "workloads": len(names),
            **{f"{unit}_to_target: {name}": cost for name, cost in zip(names, row.costs, strict=True)},
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
    return searched_names(summary.spec)


def _table(rows: Iterable[dict[str, Value]]) -> Table:
    found = list(rows)
    return Table(tuple(found[0]) if found else (), [tuple(row.values()) for row in found])


def _trial(record: Record) -> int:
    return record.trial

"""The columns of the results."""

import statistics
from collections.abc import Sequence
from typing import Any

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.results.columns.beside import best_column, other_columns
from steepest.compare.results.columns.parts import RowColumn, ends, some
from steepest.compare.results.columns.tasks import forgetting_column
from steepest.compare.results.formats import (
    cell_value,
    format_difference,
    format_difference_interval,
    format_evaluations_to_target,
    format_lr,
    format_metric,
    format_metric_interval,
    format_metric_name,
    format_others,
    format_spread,
    format_target,
    format_values,
    format_verdict,
)
from steepest.compare.spec import InstrumentSpec, Spec
from steepest.page.table import Cell, Column, Plain, Value
from steepest.page.text import count


def result_columns(summary: Summary, *, several: bool = False) -> list[RowColumn]:
    """What is said of every method.

    Args:
        several: the table in the terminal holds other comparisons too.
    """
    spec, rows = summary.spec, summary.rows
    recipes = (spec.recipe, *(method.recipe for method in spec.methods))
    return [
        _test_metric(spec, same_seeds(summary), several),
        *other_columns(rows),
        *([best_column(spec)] if any("keep_best" in recipe for recipe in recipes) else []),
        *_difference(spec, shown=len(rows) > 1),
        _to_target(spec, several, shown=any(row.reached for row in rows)),
        *([forgetting_column(spec)] if spec.workload.tasks else []),
        _chosen_lr(spec, shown=any(row.chosen is not None for row in rows)),
        *(_measured(instrument, shown=any(measured(instrument, row) for row in rows)) for instrument in spec.columns),
        _lost(shown=any(row.diverged or row.failed or row.pruned for row in rows)),
        Column(by="seconds", values=lambda row: {"seconds": row.seconds}),
    ]


def _test_metric(spec: Spec, seeds: int, several: bool) -> RowColumn:
    metric, plain_metric = format_metric_name(spec), spec.workload.metric_name

    def cell(row: Row) -> Cell:
        interval = [format_metric_interval(spec, row.interval)] if row.interval else []
        return Cell(format_metric(spec, row.mean), [*interval, *([] if seeds else [count(row.seeds, "seed")])])

    def plain(heading: str) -> tuple[Plain[Row], ...]:
        return (
            Plain(heading, lambda row: format_metric(spec, row.mean)),
            Plain("95 % interval", lambda row: format_metric_interval(spec, row.interval)),
        )

    return Column(
        by="test_metric",
        values=lambda row: {"test_metric": row.mean, **ends("test_metric", row.interval), "seeds": row.seeds},
        heading=f"Test {metric}",
        under="mean, 95 % interval" + (f", {count(seeds, 'seed')}" if seeds else ""),
        cell=cell,
        markdown=(*plain(f"test {metric}"), Plain("seeds", lambda row: str(row.seeds))),
        terminal=plain("test metric" if several else f"test {plain_metric}"),
    )


def _difference(spec: Spec, *, shown: bool) -> list[RowColumn]:
    def cell(row: Row) -> Cell:
        interval = row.comparison.interval
        return Cell(
            format_difference(spec, row.comparison.difference),
            [format_difference_interval(spec, interval)] if interval else [],
        )

    def plain(heading: str) -> tuple[Plain[Row], ...]:
        return (
            Plain(heading, lambda row: format_difference(spec, row.comparison.difference)),
            Plain("95 % interval", lambda row: format_difference_interval(spec, row.comparison.interval)),
        )

    verdict = Plain[Row]("verdict", lambda row: format_verdict(row.comparison), left=True)
    difference = Column[Row](
        by="difference",
        values=lambda row: {
            "difference": row.comparison.difference,
            **ends("difference", row.comparison.interval),
        },
        heading=f"Difference to {spec.baseline}",
        under="paired, repeated 95 % interval" if spec.stopping else "paired, 95 % interval",
        cell=cell,
        shown=shown,
        markdown=plain(f"difference to {spec.baseline}"),
        terminal=plain(f"minus {spec.baseline}"),
    )
    return [
        difference,
        Column(
            by="verdict",
            values=lambda row: {"verdict": row.comparison.verdict, "reason": row.comparison.reason},
            heading="Verdict",
            cell=lambda row: Cell(row.comparison.verdict, some(row.comparison.reason), chip=True),
            number=False,
            shown=shown,
            markdown=(verdict,),
            terminal=(verdict,),
        ),
    ]


def _to_target(spec: Spec, several: bool, *, shown: bool) -> RowColumn:
    target = format_target(spec, spec.targets[0])
    return Column(
        by=f"{spec.budget}_to_target",
        values=lambda row: {
            f"{spec.budget}_to_target": row.evaluations_to_target,
            "seeds_at_target": row.reached,
            "final_runs": len(row.finals),
        },
        heading=f"{spec.budget.capitalize()} to {target}",
        under="median; seeds that got there",
        cell=lambda row: Cell(
            format_evaluations_to_target(row), [f"{row.reached} of {count(len(row.finals), 'seed')}"]
        ),
        shown=shown,
        markdown=(
            Plain(f"{spec.unit} to {target}", format_evaluations_to_target),
            Plain("seeds there", lambda row: f"{row.reached}/{len(row.finals)}"),
        ),
        terminal=(Plain("to target" if several else f"to {target}", format_evaluations_to_target),),
    )


def _chosen_lr(spec: Spec, *, shown: bool) -> RowColumn:
    searched = searched_names(spec)
    return Column(
        by="lr" if "lr" in searched else searched[0],
        values=lambda row: {name: _middle_of(_chosen_values(row, name)) for name in searched},
        heading="Chosen lr",
        cell=lambda row: Cell(
            format_lr(row), some(format_others(row)), [f"{edge} {name} tried" for name, edge in row.edges.items()]
        ),
        shown=shown,
        markdown=(Plain("chosen lr", lambda row: ", ".join([format_lr(row), *some(format_others(row))])),),
        terminal=(Plain("lr", format_lr),),
    )


def _measured(instrument: InstrumentSpec, *, shown: bool) -> RowColumn:
    name, label, number = instrument.name, instrument.label, instrument.number

    def values(row: Row) -> dict[str, Value]:
        found = measured(instrument, row)
        low, high = min(found, default=None), max(found, default=None)
        return {name: statistics.median(found) if found else None, f"{name}_low": low, f"{name}_high": high}

    def cell(row: Row) -> Cell:
        median, spread = format_spread(measured(instrument, row), number)
        return Cell(median, some(spread))

    def plain(row: Row) -> str:
        median, spread = format_spread(measured(instrument, row), number)
        return f"{median} ({spread})" if spread else median

    columns = (Plain(label[:1].lower() + label[1:], plain),)
    return Column(by=name, values=values, heading=label, under="median, range over seeds", cell=cell, shown=shown,
                  markdown=columns, terminal=columns)  # fmt: skip


def _lost(*, shown: bool) -> RowColumn:
    def cell(row: Row) -> Cell:
        stopped = [f"{row.pruned} stopped early"] if row.pruned else []
        return Cell(f"{row.diverged} of {row.runs}", stopped, [f"{row.failed} failed"] if row.failed else [])

    return Column(
        by="diverged",
        values=lambda row: {"diverged": row.diverged, "failed": row.failed, "pruned": row.pruned, "runs": row.runs},
        heading="Diverged",
        under="of all runs",
        cell=cell,
        shown=shown,
        markdown=(
            Plain("diverged runs", lambda row: f"{row.diverged}/{row.runs}"),
            Plain("failed runs", lambda row: f"{row.failed}/{row.runs}"),
        ),
    )


def _middle_of(values: Sequence[Any]) -> Value:
    """Find the median of numbers; of what has no order list all that there are."""
    numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    if not values:
        return None
    if len(values) == 1:
        return cell_value(values[0])
    return statistics.median(values) if numbers else format_values(values)


def _chosen_values(row: Row, name: str) -> list[Any]:
    """List the chosen values of a hyperparameter: one, unless every seed has a search of its own."""
    chosen = row.all_chosen or ([] if row.chosen is None else [row.chosen])
    return [r.hyperparameters[name] for r in chosen if name in r.hyperparameters]


def same_seeds(summary: Summary) -> int:
    """So many seeds are behind every mean; 0 if they are not as many everywhere."""
    numbers = {row.seeds for row in summary.rows}
    return numbers.pop() if len(numbers) == 1 else 0


def searched_names(spec: Spec) -> list[str]:
    """Names of all that was searched, lr first."""
    names = dict.fromkeys(name for method in spec.methods for name in method.names)
    return sorted(names, key=lambda name: name != "lr")


def measured(instrument: InstrumentSpec, row: Row) -> list[float]:
    """What an instrument measured in a method's final runs."""
    return [value for r in row.finals if (value := r.measures.get(instrument.name)) is not None]

"""Results and runs as pandas frames."""

import dataclasses
from collections.abc import Sequence

import pandas as pd

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.running.jobs import Record


def result_frame(summaries: Sequence[Summary]) -> pd.DataFrame:
    """A row for every method of every comparison, in the order of the report; metrics are not times 100.

    Columns: ``workload`` (the comparison's name), ``batch_size``, ``method``; ``mean`` test metric over ``seeds``, its
    interval ``low`` to ``high``; ``difference`` to the ``baseline`` with ``difference_low`` to ``difference_high``, the
    ``p_value``, ``adjusted`` for the number of methods, and the ``verdict``; ``evaluations_to_target``, a median in
    which a miss is infinite, and how many seeds ``reached`` it; the numbers of ``runs``, of those that ``diverged``,
    ``failed`` or were ``pruned``; median ``seconds`` of a final run and ``sharpness``; ``chosen_lr`` and whatever else
    was searched.
    """
    return pd.DataFrame([_cells(summary, row) for summary in summaries for row in summary.rows])


def run_frame(records: Sequence[Record]) -> pd.DataFrame:
    """A row for every run that has ended, with the fields of a record, each hyperparameter in a column of its own."""
    frame = pd.DataFrame([record.to_dict() for record in records], columns=[f.name for f in dataclasses.fields(Record)])
    searched = pd.DataFrame(frame.pop("hyperparameters").tolist(), index=frame.index)
    return pd.concat([frame, searched], axis="columns")


def _cells(summary: Summary, row: Row) -> dict[str, object]:
    comparison, spec = row.comparison, summary.spec
    chosen = {} if row.chosen is None else row.chosen.hyperparameters
    return {
        "workload": spec.name,
        "batch_size": spec.batch_size,
        "method": row.method.name,
        "mean": row.mean,
        "low": None if row.interval is None else row.interval.low,
        "high": None if row.interval is None else row.interval.high,
        "seeds": row.seeds,
        "baseline": spec.baseline,
        "difference": comparison.difference,
        "difference_low": None if comparison.interval is None else comparison.interval.low,
        "difference_high": None if comparison.interval is None else comparison.interval.high,
        "p_value": comparison.p_value,
        "adjusted": comparison.adjusted,
        "verdict": comparison.verdict,
        "evaluations_to_target": row.evaluations_to_target,
        "reached": row.reached,
        "runs": row.runs,
        "diverged": row.diverged,
        "failed": row.failed,
        "pruned": row.pruned,
        "seconds": row.seconds,
        "sharpness": row.median_sharpness,
        **{f"chosen_{name}": value for name, value in chosen.items()},
    }

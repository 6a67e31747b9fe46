"""What a sequence of tasks left in a model: what it still knows of each, and what it has forgotten."""

import statistics

from steepest.compare.analysis.summary import Row
from steepest.compare.records.record import Record
from steepest.compare.spec import Spec


def forgetting(spec: Spec, record: Record) -> float | None:
    """How much worse a run ended on the earlier tasks than it had been on each of them, in the mean; from validations.

    The sign is that of a loss of quality: positive where the metric has become worse. ``None`` without a whole matrix.

    Source: A. Chaudhry, P. K. Dokania, T. Ajanthan, P. H. S. Torr, "Riemannian Walk for Incremental Learning" (ECCV
    2018), section 3.3.
    """
    matrix = record.task_matrix
    if not matrix or len(matrix) < len(spec.workload.tasks):
        return None
    sign = 1 if spec.workload.higher_is_better else -1
    *earlier, last = [[sign * value for value in after] for after in matrix]
    return statistics.fmean(max(after[task] for after in earlier) - last[task] for task in range(len(last) - 1))


def final_metrics(row: Row, task: int) -> list[float]:
    """The test metric on a task at the end of each final run."""
    return [r.test_metrics[task] for r in row.finals if r.test_metrics]


def learnt_metrics(row: Row, task: int) -> list[float]:
    """The validation metric on a task right after it, in each final run that came so far."""
    return [r.task_matrix[task][task] for r in row.finals if r.task_matrix and len(r.task_matrix) > task]


def mean_matrix(row: Row) -> list[list[float]]:
    """The mean over the final runs of the validation metric after each task (row) on all of them (column).

    Empty unless a run has seen every task.
    """
    count = max((len(r.task_matrix[0]) for r in row.finals if r.task_matrix), default=0)
    whole = [r.task_matrix for r in row.finals if r.task_matrix and len(r.task_matrix) == count]
    return [
        [statistics.fmean(matrix[after][task] for matrix in whole) for task in range(count)]
        for after in range(count if whole else 0)
    ]

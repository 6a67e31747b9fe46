"""The figures of the report, as Plotly figures without a theme: the page gives them its colours, light or dark."""

from dataclasses import dataclass

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Summary
from steepest.compare.report.caveats import searched
from steepest.compare.report.runs import curves, finals
from steepest.compare.report.search import best_so_far, expected_best, lr_sensitivity
from steepest.compare.report.wording import format_target, listed

ZOOM = "The worst quarter may lie outside the window: a double click shows all."


@dataclass(frozen=True)
class Figure:
    """A figure with the words around it; ``switches`` are the axes that the reader can make logarithmic or linear."""

    key: str
    title: str
    caption: str
    plot: go.Figure
    switches: tuple[str, ...] = ()


def figures(summary: Summary) -> list[Figure]:
    """All figures for which there are runs."""
    spec = summary.spec
    metric = spec.workload.metric_name
    rows = [row for row in summary.rows if row.finals]
    found = []
    if any(row.mean is not None for row in rows):
        targets = [format_target(spec, target) for target in spec.targets]
        found.append(
            Figure(
                "finals",
                f"Test {metric} on fresh seeds",
                "One dot per seed; the diamond is the mean, the bar its 95 % interval.",
                finals(summary, rows),
            )
        )
        found.append(
            Figure(
                "validation",
                f"Validation {metric} while training",
                f"Mean over the seeds, band from the lowest to the highest seed. Dotted: the "
                f"target{'s' * (len(targets) > 1)}, {listed(targets, 'and')}. {ZOOM}",
                curves(summary, rows, "validation_metric"),
                switches=("x",),
            )
        )
        found.append(
            Figure(
                "loss",
                "Training loss",
                "Mean over the seeds of the mean loss since the last point, band from the lowest to the highest seed."
                + (" With weight noise, the loss is that at the noisy weights." if _noisy(summary) else ""),
                curves(summary, rows, "train_loss"),
                switches=("x", "y"),
            )
        )
    if any(row.tuned for row in summary.rows):
        stopped = any(row.pruned for row in summary.rows)
        found.append(
            Figure(
                "lr",
                "Sensitivity to the learning rate",
                f"Validation {metric} of every run of the search; the ring is the chosen one, a cross a run that "
                f"diverged or failed{', a triangle one that was stopped early' if stopped else ''}. Learning rates of "
                f"different methods have different units: compare widths, not places. {ZOOM}",
                lr_sensitivity(summary),
                switches=("x",),
            )
        )
        found.append(
            Figure(
                "search",
                "Best so far in the search",
                f"Highest validation {metric} after so many trials."
                if spec.workload.higher_is_better
                else f"Lowest validation {metric} after so many trials.",
                best_so_far(summary),
            )
        )
    if spec.trials > 1 and any(searched(spec, row) for row in summary.rows):
        found.append(
            Figure(
                "luck",
                "The luck of the search",
                f"Best validation {metric} that so many trials are expected to find: the mean over all subsets of the "
                "trials made, without replacement. Dotted, where the band ends: what a new search of that size finds "
                "or beats in 19 of 20 cases, if so few trials can promise anything. It is open on the other side: "
                "nobody knows what was not tried. Both count with independent trials; those here are spread evenly, "
                "and so do rather better. Methods with equal ranges try equal points and share their luck: whether "
                f"bands overlap does not tell which is better. {ZOOM}",
                expected_best(summary),
            )
        )
    return found


def _noisy(summary: Summary) -> bool:
    return any(method.estimators for method in summary.spec.methods)

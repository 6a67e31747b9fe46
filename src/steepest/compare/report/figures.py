"""The figures of the report, as Plotly figures without a theme: the page gives them its colours, light or dark."""

from collections.abc import Sequence

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.trust import searched
from steepest.compare.report.forest import forest, forest_caption, forest_rows
from steepest.compare.report.matrices import task_matrices
from steepest.compare.report.run_figures import curves, finals
from steepest.compare.report.search_figures import best_so_far, expected_best, lr_sensitivity
from steepest.compare.report.space_figures import space_figures
from steepest.compare.results.formats import format_metric_name, format_target
from steepest.compare.spec import InstrumentSpec
from steepest.page.figure import Figure
from steepest.page.look import has_data
from steepest.page.text import listed

ZOOM = "The worst quarter may lie outside the window: a double click shows all."


def figures(summary: Summary) -> list[Figure]:
    """All figures in which there is something to see."""
    found = [*_differences(summary), *_of_final_runs(summary), *_of_the_search(summary)]
    return [figure for figure in found if has_data(figure.plot)]


def _differences(summary: Summary) -> list[Figure]:
    return [
        Figure(
            "forest",
            f"Differences to {summary.spec.baseline}",
            forest_caption(summary),
            forest(summary),
            place="top",
            rows=tuple(row.method.name for row in forest_rows(summary)),
            exact=True,
        )
    ]


def _of_final_runs(summary: Summary) -> list[Figure]:
    spec, metric = summary.spec, format_metric_name(summary.spec)
    rows = [row for row in summary.rows if row.finals]
    targets = [format_target(spec, target) for target in spec.targets]
    return [
        Figure(
            "finals",
            f"Test {metric} on fresh seeds",
            "One dot per seed; the diamond is the mean, the bar its 95 % interval.",
            finals(summary, rows),
            rows=tuple(row.method.name for row in rows if row.mean is not None),
        ),
        Figure(
            "validation",
            f"Validation {metric} while training",
            f"Mean over the seeds, band from the lowest to the highest seed. Dotted: the "
            f"target{'s' * (len(targets) > 1)}, {listed(targets, 'and')}. {ZOOM}",
            curves(summary, rows, "validation_metric", metric),
            switches=("x",),
        ),
        Figure(
            "loss",
            "Training loss",
            "Mean over the seeds of the mean loss since the last point, band from the lowest to the highest seed."
            + (" With weight noise, the loss is that at the noisy weights." if _noisy(summary) else ""),
            curves(summary, rows, "train_loss", "training loss"),
            switches=("x", "y"),
        ),
        *(_draw_series(summary, rows, instrument) for instrument in spec.series),
        *([_draw_matrices(summary)] if spec.workload.tasks else []),
    ]


def _draw_matrices(summary: Summary) -> Figure:
    metric = format_metric_name(summary.spec)
    return Figure(
        "matrices",
        "What was known after each task",
        f"Validation {metric} after each task, from top to bottom, on every task, from left to right: the mean over "
        "the seeds. Above the diagonal stand tasks that have not been learnt yet; what a column loses below it is "
        "forgotten.",
        task_matrices(summary),
    )


def _draw_series(summary: Summary, rows: Sequence[Row], instrument: InstrumentSpec) -> Figure:
    """Draw what an instrument saw at every validation."""
    said = summary.spec.captions.get(instrument.name, "")
    return Figure(
        f"series-{instrument.name}",
        f"{instrument.label} while training",
        f"{said} Mean over the seeds, band from the lowest to the highest seed.".strip(),
        curves(summary, rows, instrument.name, instrument.label[:1].lower() + instrument.label[1:]),
        switches=("x", "y"),
    )


def _of_the_search(summary: Summary) -> list[Figure]:
    spec, metric = summary.spec, format_metric_name(summary.spec)
    if not any(r.found is not None for row in summary.rows for r in row.runs_of_search):
        return []
    stopped = any(row.pruned for row in summary.rows)
    several = len(spec.tuning_seeds()) > 1
    fitted_to = "those of the first search" if spec.cover_search else "them"
    what = "point of the search, the mean of its seeds" if several else "run of the search"
    end = "Highest" if spec.workload.higher_is_better else "Lowest"
    found = [
        Figure(
            "lr",
            "Sensitivity to the learning rate",
            f"Validation {metric} of every {what}; the ring is the chosen one, a cross a run that "
            f"diverged or failed{', a triangle one that was stopped early' if stopped else ''}."
            f"{' Hollow marks are short runs.' if spec.screen else ''}"
            f"{f' Dotted is the response that was fitted to {fitted_to}.' if spec.choice == 'fitted' else ''} "
            f"Learning rates of different methods have different units: compare widths, not places. {ZOOM}",
            lr_sensitivity(summary),
            switches=("x",),
            place="trust",
        ),
        *space_figures(summary),
    ]
    if not spec.screen:
        found.append(
            Figure(
                "search",
                "Best so far in the search",
                f"{end} validation {metric} after so many trials.",
                best_so_far(summary),
                place="trust",
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
                place="trust",
            )
        )
    return found


def _noisy(summary: Summary) -> bool:
    return any(method.estimators for method in summary.spec.methods)

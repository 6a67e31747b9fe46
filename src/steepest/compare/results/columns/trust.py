"""How far to trust it: what the seeds could have shown, and the luck of the search."""

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.analysis.trust import assured, chosen_again, expected_of_half, found_by_search, refound
from steepest.compare.results.caveats import (
    format_assured,
    format_chosen_by,
    format_fit,
    format_found,
    format_half,
    format_refound,
)
from steepest.compare.results.columns.parts import RowColumn, ends, some
from steepest.compare.results.formats import NONE, format_difference_interval, format_metric_name, format_size
from steepest.page.table import Cell, Column, Plain


def trust_columns(summary: Summary) -> list[RowColumn]:
    """How far to trust it: what the seeds could have shown, and the luck of the search."""
    spec, rows = summary.spec, summary.rows
    metric, comparisons = format_metric_name(spec), [row.comparison for row in summary.rows]

    def bootstrap(row: Row) -> str:
        return format_difference_interval(spec, row.comparison.bootstrap)

    def chosen_by(row: Row) -> dict[str, float | str | None]:
        choice = row.search.choice
        fit = None if choice is None else choice.response
        again = chosen_again(spec, row)
        return {
            "chosen_by": None if choice is None else format_chosen_by(row),
            "fit_explains": None if fit is None else fit.explained,
            "best_score_because": None if choice is None else choice.reason or None,
            "chosen_again_low": None if again is None else again[0],
            "chosen_again_high": None if again is None else again[1],
        }

    return [
        Column(
            by="detectable",
            values=lambda row: {"detectable": row.comparison.detectable},
            heading="Could have been seen",
            under="8 times in 10",
            cell=lambda row: Cell(format_size(spec, row.comparison.detectable)),
            shown=any(c.detectable is not None for c in comparisons),
            markdown=(
                Plain("could have been seen (8 times in 10)", lambda row: format_size(spec, row.comparison.detectable)),
            ),
        ),
        Column(
            by="p_value",
            values=lambda row: {"p_value": row.comparison.p_value, "adjusted_p_value": row.comparison.adjusted},
            heading="p",
            under="t-test; sequential, after Holm" if spec.stopping else "t-test; after Holm",
            label="p, after Holm",
            cell=lambda row: Cell(
                _probability(row.comparison.p_value),
                [] if row.comparison.adjusted is None else [_probability(row.comparison.adjusted)],
            ),
            shown=any(c.p_value is not None for c in comparisons),
            markdown=(
                Plain("p", lambda row: _probability(row.comparison.p_value)),
                Plain(
                    "sequential p after Holm" if spec.stopping else "p after Holm",
                    lambda row: _probability(row.comparison.adjusted),
                ),
            ),
        ),
        Column(
            by="bootstrap_difference_low",
            values=lambda row: ends("bootstrap_difference", row.comparison.bootstrap),
            heading="Difference by bootstrap",
            under="paired, 95 % interval",
            cell=lambda row: Cell(bootstrap(row)),
            shown=any(c.bootstrap is not None for c in comparisons),
            markdown=(Plain("difference by bootstrap, paired, 95 % interval", bootstrap),),
        ),
        Column(
            by="found",
            values=lambda row: {
                "found": found_by_search(row),
                "found_on_fresh_seeds": refound(row),
            },
            heading="Found by the search",
            under=f"validation {metric}",
            cell=lambda row: Cell(format_found(spec, row), some(format_refound(spec, row))),
            shown=any(row.search.jobs and row.chosen is not None for row in rows),
            markdown=(
                Plain("found by the search", lambda row: format_found(spec, row)),
                Plain("the same point", lambda row: format_refound(spec, row) or NONE),
            ),
        ),
        Column(
            by="chosen_by",
            values=chosen_by,
            heading="Chosen by",
            under="the first search" if spec.cover_search else "" if spec.screen else "each score left out in turn",
            label="Chosen by",
            cell=lambda row: Cell(format_chosen_by(row), some(format_fit(spec, row))),
            shown=spec.choice != "best" and any(row.search.choice is not None for row in rows),
            markdown=(
                Plain("chosen by", format_chosen_by),
                Plain("fit, each score left out in turn", lambda row: format_fit(spec, row) or NONE),
            ),
        ),
        Column(
            by="another_search",
            values=lambda row: {
                "another_search": assured(spec, row),
                "half_the_search": expected_of_half(spec, row),
            },
            heading="Another search of this size",
            under="finds or beats, 19 times in 20",
            label="Another search",
            cell=lambda row: Cell(format_assured(spec, row), some(format_half(spec, row))),
            shown=any(assured(spec, row) is not None or expected_of_half(spec, row) is not None for row in rows),
            markdown=(
                Plain(
                    "another search of this size finds or beats (19 times in 20)",
                    lambda row: format_assured(spec, row),
                ),
                Plain("half of it", lambda row: format_half(spec, row) or NONE),
            ),
        ),
    ]


def _probability(value: float | None) -> str:
    return NONE if value is None else f"{value:.2g}"

"""The columns of what was compared."""

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.results.columns.parts import RowColumn, Show
from steepest.compare.results.formats import NONE, format_gradient, format_options, format_ranges, format_value
from steepest.compare.spec import MethodSpec, Spec
from steepest.page.table import Cell, Column, Plain


def method_columns(summary: Summary) -> list[RowColumn]:
    """What was compared."""
    spec, rows = summary.spec, summary.rows
    with_estimators = any(row.method.estimators for row in rows)

    def text(by: str, heading: str, shown: bool, show: Show, code: bool = False) -> RowColumn:
        return Column(
            by=by,
            values=lambda row: {by: show(row)},
            heading=heading,
            cell=lambda row: Cell(show(row), code=code),
            number=False,
            shown=shown,
            markdown=(Plain(heading.lower(), show),) if shown or by != "gradient" else (),
        )

    return [
        text("optimizer", "Optimizer", True, lambda row: row.method.optimizer, code=True),
        text("gradient", "Gradient", with_estimators, lambda row: format_gradient(row.method)),
        text("searched", "Searched", True, lambda row: _searched(summary.spec, row.method)),
        text("fixed", "Fixed", any(row.method.fixed for row in rows), lambda row: format_options(row.method.fixed)),
        Column(
            by="evaluations_per_step",
            values=lambda row: {"evaluations_per_step": spec.cost(row.method)},
            heading="Evaluations per step",
            cell=lambda row: Cell(_spell_cost(spec, row.method)),
            shown=any(spec.cost(row.method) > 1 for row in rows),
            markdown=(Plain("evaluations per step", lambda row: _spell_cost(spec, row.method)),),
        ),
        Column(
            by="seconds",
            values=lambda row: {"seconds": row.seconds},
            heading="Seconds per final run",
            under="median",
            cell=lambda row: Cell(_seconds(row)),
            shown=any(row.seconds is not None for row in rows),
            markdown=(Plain("seconds per final run (median)", _seconds),),
        ),
    ]


def _spell_cost(spec: Spec, method: MethodSpec) -> str:
    return f"up to {spec.cost(method)}" if method.counted else str(spec.cost(method))


def _searched(spec: Spec, method: MethodSpec) -> str:
    """Say what was searched, or given."""
    given = spec.given(method)
    if given is None:
        return format_ranges(method.space)
    return f"given: {', '.join(f'{name} {format_value(value)}' for name, value in given.items())}"


def _seconds(row: Row) -> str:
    return NONE if row.seconds is None else f"{row.seconds:.2f}"

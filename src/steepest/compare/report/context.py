"""What the templates know: their filters, and all that is said of a comparison."""

import functools
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup

from steepest.compare.analysis.summary import Summary
from steepest.compare.analysis.trust import searched
from steepest.compare.report.style import looks
from steepest.compare.results.caveats import (
    caveats,
    format_assured,
    format_found,
    format_half,
    format_refound,
    order_lines,
)
from steepest.compare.results.failures import failures
from steepest.compare.results.formats import (
    format_difference,
    format_difference_interval,
    format_evaluations,
    format_evaluations_to_target,
    format_gradient,
    format_lr,
    format_metric,
    format_metric_interval,
    format_metric_name,
    format_options,
    format_others,
    format_ranges,
    format_ratio,
    format_sharpness,
    format_sharpness_median,
    format_sharpness_range,
    format_size,
    format_target,
    format_verdict,
)
from steepest.compare.results.sentences import (
    cost_notes,
    edge_warnings,
    pruning_note,
    schedule_sentence,
    sharpness_note,
    sharpness_warnings,
    verdict_sentence,
)
from steepest.compare.results.tables import records_of, shown_columns, to_targets
from steepest.compare.spec import Spec
from steepest.page.templates import templates
from steepest.page.text import harmless


@functools.cache
def environment(*, escape: bool) -> jinja2.Environment:
    """The templates, which are compiled once; filters print as the comparison has it whose ``spec`` is rendered.

    Args:
        escape: for HTML; everything that comes from a user is escaped.
    """
    found = templates("steepest.compare.report", escape=escape)
    found.filters.update(
        metric=_of_the_spec(format_metric),
        difference=_of_the_spec(format_difference),
        metric_interval=_of_the_spec(format_metric_interval),
        difference_interval=_of_the_spec(format_difference_interval),
        verdict=format_verdict,
        to_target=format_evaluations_to_target,
        evaluations=format_evaluations,
        ratio=format_ratio,
        target=_of_the_spec(format_target),
        lr=format_lr,
        others=format_others,
        size=_of_the_spec(format_size),
        p_value=lambda value: "-" if value is None else f"{value:.2g}",
        found=_of_the_spec(format_found),
        refound=_of_the_spec(format_refound),
        assured=_of_the_spec(format_assured),
        half=_of_the_spec(format_half),
        options=format_options,
        gradient=format_gradient,
        sharpness=format_sharpness,
        sharpness_median=format_sharpness_median,
        sharpness_range=format_sharpness_range,
        ranges=format_ranges,
        sentence=verdict_sentence,
        linked=_linked_sentence,
        general=lambda value: f"{value:g}",
        metric_of=lambda value, of: format_metric(of.spec, value),
        metric_name=lambda of: format_metric_name(of.spec),
        difference_of=lambda row, of: format_difference(of.spec, row.comparison.difference),
    )
    return found


def _of_the_spec(show: Callable[[Spec, Any], str]) -> Callable[[Context, Any], str]:
    """A filter that prints as the comparison has it whose spec is rendered."""

    @jinja2.pass_context
    def shown(rendered: Context, value: Any) -> str:
        return show(rendered["spec"], value)

    return shown


def _linked_sentence(summary: Summary, anchor: str) -> Markup:
    """The verdict, whose first mention of the comparison leads to it."""
    sentence, name = harmless(verdict_sentence(summary)), harmless(summary.spec.name)
    before, found, after = sentence.partition(f"n {name}")  # "On" or "on", and the name
    return Markup('{}<a href="{}">{}</a>{}').format(before + found[:2], anchor, found[2:], after)


def context(summary: Summary) -> dict[str, Any]:
    """All that is said of one comparison."""
    spec = summary.spec
    records = records_of(summary)
    rows = {row.method.name: row for row in summary.rows}
    several = len(spec.targets) > 1
    return {
        "summary": summary,
        "spec": spec,
        "workload": spec.workload,
        "name": spec.name,
        "budget": spec.gradient_evaluations,
        "schedule": schedule_sentence(spec),
        "sentence": verdict_sentence(summary),
        "warnings": edge_warnings(summary),
        "cost_notes": cost_notes(summary),
        "pruning_note": pruning_note(summary),
        "caveats": caveats(summary),
        "order_lines": order_lines(summary),
        "to_targets": {name: to_targets(spec, row) for name, row in rows.items()} if several else {},
        "trust": any(row.comparison.interval or searched(spec, row) for row in summary.rows),
        "sharpness_note": sharpness_note(spec) if spec.sharpness_samples else "",
        "sharpness_warnings": sharpness_warnings(summary),
        "estimators": any(method.estimators for method in spec.methods),
        "failures": failures(summary),
        "devices": sorted({record.device for record in records if record.device}),
        "total_seconds": sum(record.seconds or 0.0 for record in records),
        "looks": looks(summary),
        "metric": format_metric_name(spec),
        "same_seeds": _same_seeds(summary),
        "final_runs": any(row.finals for row in summary.rows),
        "lower": not spec.workload.higher_is_better,
        "shown": shown_columns(summary),
    }


def _same_seeds(summary: Summary) -> int:
    """So many seeds are behind every mean; 0 if they are not as many everywhere."""
    numbers = {row.seeds for row in summary.rows}
    return numbers.pop() if len(numbers) == 1 else 0

"""What the templates know: the filters of one comparison, and all that is said of it."""

from typing import Any

import jinja2
from markupsafe import Markup

from steepest.compare.analysis.summary import Summary
from steepest.compare.report.caveats import (
    caveats,
    format_assured,
    format_found,
    format_half,
    format_refound,
    order_lines,
    searched,
)
from steepest.compare.report.style import colours
from steepest.compare.report.tables import records_of, to_targets
from steepest.compare.report.wording import (
    cost_notes,
    count,
    edge_warnings,
    format_difference,
    format_difference_interval,
    format_evaluations,
    format_evaluations_to_target,
    format_gradient,
    format_lr,
    format_metric,
    format_metric_interval,
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
    pruning_note,
    sharpness_note,
    sharpness_warnings,
    verdict_sentence,
)
from steepest.compare.schedule import SCHEDULES


def environment(summary: Summary, *, escape: bool) -> jinja2.Environment:
    """Templates whose filters print as the workload of a comparison has it.

    Args:
        escape: for HTML; everything that comes from a user is escaped.
    """
    spec = summary.spec
    found = jinja2.Environment(
        loader=jinja2.PackageLoader("steepest.compare.report"),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    found.filters.update(
        metric=lambda value: format_metric(spec, value),
        difference=lambda value: format_difference(spec, value),
        metric_interval=lambda interval: format_metric_interval(spec, interval),
        difference_interval=lambda interval: format_difference_interval(spec, interval),
        verdict=format_verdict,
        to_target=format_evaluations_to_target,
        evaluations=format_evaluations,
        ratio=format_ratio,
        target=lambda value: format_target(spec, value),
        lr=format_lr,
        others=format_others,
        count=count,
        cell=lambda text: str(text).replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ").replace("<", "&lt;"),
        size=lambda value: format_size(spec, value),
        p_value=lambda value: "-" if value is None else f"{value:.2g}",
        found=lambda row: format_found(spec, row),
        refound=lambda row: format_refound(spec, row),
        assured=lambda row: format_assured(spec, row),
        half=lambda row: format_half(spec, row),
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
        difference_of=lambda row, of: format_difference(of.spec, row.comparison.difference),
    )
    return found


def _linked_sentence(summary: Summary, anchor: str) -> Markup:
    """The verdict, whose first mention of the comparison leads to it."""
    before, name, after = verdict_sentence(summary).partition(summary.spec.name)
    return Markup('{}<a href="{}">{}</a>{}').format(before, anchor, name, after)


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
        "schedule": SCHEDULES[spec.schedule].description,
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
        "failures": [(rows[record.method], record) for record in records if record.error],
        "devices": sorted({record.device for record in records if record.device}),
        "total_seconds": sum(record.seconds or 0.0 for record in records),
        "colours": colours(summary),
    }

"""The report's two files, from a summary."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jinja2
import plotly.offline
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
from steepest.compare.report.figures import figures
from steepest.compare.report.style import colours
from steepest.compare.report.wording import (
    cost_notes,
    count,
    edge_warnings,
    format_difference,
    format_difference_interval,
    format_evaluations_to_target,
    format_gradient,
    format_lr,
    format_metric,
    format_metric_interval,
    format_options,
    format_others,
    format_sharpness,
    format_sharpness_median,
    format_sharpness_range,
    format_size,
    format_target,
    format_verdict,
    sharpness_note,
    sharpness_warnings,
    verdict_sentence,
)
from steepest.compare.running.folder import write_atomically
from steepest.compare.schedule import SCHEDULES

HTML = "report.html"
MARKDOWN = "report.md"


def write_report(folder: Path, summary: Summary, invocations: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``report.html`` and ``report.md`` into a study's folder; returns the path of the page.

    The page needs no network: Plotly's script is in it. Whatever comes from a user, a name above all, is escaped.
    """
    write_atomically(folder / MARKDOWN, render_markdown(summary, invocations))
    write_atomically(folder / HTML, render_html(summary, invocations))
    return folder / HTML


def render_html(summary: Summary, invocations: Sequence[Mapping[str, Any]]) -> str:
    """The page as one self-contained HTML text."""
    found = figures(summary)
    plots = {figure.key: json.loads(figure.plot.to_json()) for figure in found}
    for plot in plots.values():
        plot["layout"].pop("template", None)
    return (
        _environment(summary, escape=True)
        .get_template("report.html.j2")
        .render(
            **_context(summary, invocations),
            figures=found,
            colours=colours(summary),
            # "<" is the one character that could end the script element from inside a string.
            plots=Markup(json.dumps(plots).replace("<", "\\u003c")),
            plotly=Markup(plotly.offline.get_plotlyjs()),
        )
    )


def render_markdown(summary: Summary, invocations: Sequence[Mapping[str, Any]]) -> str:
    """The tables and the provenance as Markdown."""
    return _environment(summary, escape=False).get_template("report.md.j2").render(**_context(summary, invocations))


def _context(summary: Summary, invocations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    spec = summary.spec
    failures = [(row, record) for row in summary.rows for record in [*row.tuned, *row.finals] if record.error]
    return {
        "summary": summary,
        "spec": spec,
        "workload": spec.workload,
        "budget": spec.gradient_evaluations,
        "schedule": SCHEDULES[spec.schedule].description,
        "sentence": verdict_sentence(summary),
        "warnings": edge_warnings(summary),
        "cost_notes": cost_notes(summary),
        "caveats": caveats(summary),
        "order_lines": order_lines(summary),
        "trust": any(row.comparison.interval or searched(spec, row) for row in summary.rows),
        "sharpness_note": sharpness_note(spec) if spec.sharpness_samples else "",
        "sharpness_warnings": sharpness_warnings(summary),
        "estimators": any(method.estimators for method in spec.methods),
        "failures": failures,
        "invocations": _distinct(invocations),
        "devices": sorted({r.device for row in summary.rows for r in [*row.tuned, *row.finals] if r.device}),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "total_seconds": sum(r.seconds or 0.0 for row in summary.rows for r in [*row.tuned, *row.finals]),
    }


def _distinct(invocations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Invocations without repetitions of the same command on the same machine with the same versions."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in invocations:
        found.setdefault(json.dumps([entry["command"], entry["machine"], entry["versions"]]), entry)
    return list(found.values())


def _environment(summary: Summary, *, escape: bool) -> jinja2.Environment:
    spec = summary.spec

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("steepest.compare.report"),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        metric=lambda value: format_metric(spec, value),
        difference=lambda value: format_difference(spec, value),
        metric_interval=lambda interval: format_metric_interval(spec, interval),
        difference_interval=lambda interval: format_difference_interval(spec, interval),
        verdict=format_verdict,
        to_target=format_evaluations_to_target,
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
        ranges=lambda space: ", ".join(f"{key} {r.low:g}:{r.high:g}" for key, r in space.items()),
    )
    return environment

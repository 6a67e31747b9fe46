"""The report's two files, from the summaries of a study's comparisons."""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import plotly.offline
from markupsafe import Markup

from steepest._files import write_atomically
from steepest.compare.analysis.profiles import Across, across, comparable
from steepest.compare.analysis.summary import Summary
from steepest.compare.report.across import across_caption, kinds, profile_figure, title
from steepest.compare.report.batch_sizes import sweep_figures
from steepest.compare.report.context import context, environment
from steepest.compare.report.data import page_data, suffix
from steepest.compare.report.figures import figures
from steepest.compare.results import tables
from steepest.page.data import to_json
from steepest.page.figure import Figure
from steepest.page.table import Table

HTML = "report.html"
MARKDOWN = "report.md"


def write_report(folder: Path, summaries: Sequence[Summary], invocations: Sequence[Mapping[str, Any]]) -> Path:
    """Write ``report.html`` and ``report.md`` into a study's folder; returns the path of the page.

    The page needs no network: Plotly's script is in it. Whatever comes from a user, a name above all, is escaped.

    Args:
        summaries: one a comparison, at least one; all have the same methods and baseline.
    """
    write_atomically(folder / MARKDOWN, render_markdown(summaries, invocations))
    write_atomically(folder / HTML, render_html(summaries, invocations))
    return folder / HTML


def render_html(summaries: Sequence[Summary], invocations: Sequence[Mapping[str, Any]], *, live: str = "") -> str:
    """The page as one HTML text.

    Args:
        live: the version of a page that `steepest.compare.report.watch` serves: Plotly's script is beside it instead
            of in it, and it looks for a newer version. Empty for a page that stands by itself.
    """
    shared = _gather_shared(summaries, invocations)
    whole, found = _draw_all(summaries, shared["across"])
    drawn = dict(whole)
    contexts = [context(summary) for summary in summaries]
    own = [{figure.key + suffix(i): figure for figure in figures(summary)} for i, summary in enumerate(summaries)]
    shared |= {"charts": bool(whole or any(own)), "order_of_methods": _order_methods(summaries)}
    panels = []
    for i, (summary, said) in enumerate(zip(summaries, contexts, strict=True)):
        template = environment(escape=True).get_template("comparison.html.j2")
        text = template.render(**shared, **said, suffix=suffix(i), figures=own[i])
        panels.append((suffix(i), summary, Markup(text)))
        drawn |= own[i]
        found |= {key + suffix(i): table for key, table in _make_tables(summary, said).items()}
    return (
        environment(escape=True)
        .get_template("report.html.j2")
        .render(
            **shared,
            **contexts[0],
            panels=panels,
            whole=whole,
            data=Markup(to_json(page_data(summaries, drawn, found, live))),
            plotly="" if live else Markup(plotly.offline.get_plotlyjs()),
            live=live,
        )
    )


def _draw_all(summaries: Sequence[Summary], scores: Sequence[Across]) -> tuple[dict[str, Figure], dict[str, Table]]:
    """Make figures and tables of several comparisons, by their anchors."""
    drawn, found = {}, {}
    if scores:
        found["across"] = tables.across_workloads(scores, summaries)
    if any(row.reached for row in scores):  # else every line of the profile lies at zero
        drawn["profile"] = profile_figure(scores, summaries)
    if len(summaries) > 1:
        found["overview"] = tables.overview(summaries)
    return drawn | sweep_figures(summaries), found


def _order_methods(summaries: Sequence[Summary]) -> list[str]:
    """Order the methods as the legend has them: the results' order where there is one, else the study's."""
    if len(summaries) == 1:
        return [row.method.name for row in summaries[0].rows]
    return [method.name for method in summaries[0].spec.methods]


def render_markdown(summaries: Sequence[Summary], invocations: Sequence[Mapping[str, Any]]) -> str:
    """The tables and the provenance as Markdown."""
    shared = _gather_shared(summaries, invocations)
    contexts = [context(summary) for summary in summaries]
    parts = [
        environment(escape=False).get_template("comparison.md.j2").render(**shared, **said)
        for summary, said in zip(summaries, contexts, strict=True)
    ]
    whole = environment(escape=False).get_template("report.md.j2")
    return whole.render(**shared, **contexts[0], parts=parts)


def _gather_shared(summaries: Sequence[Summary], invocations: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Gather what is said of the study as a whole."""
    baseline = summaries[0].spec.baseline
    return {
        "summaries": summaries,
        "several": len(summaries) > 1,
        "title": title(summaries),
        "across": across(summaries, baseline) if comparable(summaries) else [],
        "across_caption": across_caption(summaries),
        "kinds": kinds(summaries),
        "by_method": tables.by_method(summaries),
        "invocations": _drop_repetitions(invocations),
        "sources": sorted({name for entry in invocations for name in entry.get("sources", ())}),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "finished": sum(summary.finished for summary in summaries),
        "planned": sum(summary.planned for summary in summaries),
    }


def _make_tables(summary: Summary, said: Mapping[str, Any]) -> dict[str, Table]:
    """Make the tables of a comparison that the page shows."""
    return {
        "final": tables.results(summary),
        "methods": tables.methods(summary),
        **({"tasks": tables.tasks(summary)} if summary.spec.workload.tasks else {}),
        **({"targets": tables.targets(summary)} if said["to_targets"] else {}),
        **({"trusted": tables.trust(summary)} if said["trust"] else {}),
        **({"paired": tables.pairs(summary)} if said["pairs"] else {}),
        **({"ordered": tables.order(summary)} if said["order_lines"] else {}),
    }


def _drop_repetitions(invocations: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Drop repetitions of the same command on the same machine with the same versions, at the same commit."""
    found: dict[str, Mapping[str, Any]] = {}
    for entry in invocations:
        found.setdefault(json.dumps([entry.get(name) for name in ("command", "machine", "versions", "git")]), entry)
    return list(found.values())

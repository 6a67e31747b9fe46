"""What the templates know: their filters, and all that is said of a comparison."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jinja2
from jinja2.runtime import Context
from markupsafe import Markup

from steepest.compare.analysis.summary import Summary
from steepest.compare.analysis.trust import searched
from steepest.compare.report.style import looks
from steepest.compare.results.budget import budget_sentence, cost_notes, data_sentence
from steepest.compare.results.caveats import caveats, order_lines
from steepest.compare.results.columns import (
    format_pair,
    method_columns,
    pair_columns,
    pairs_of,
    result_columns,
    task_columns,
    trust_columns,
)
from steepest.compare.results.failures import failures
from steepest.compare.results.formats import (
    format_difference,
    format_evaluations,
    format_metric,
    format_metric_name,
    format_ratio,
    format_target,
)
from steepest.compare.results.recipes import recipe_sentence
from steepest.compare.results.sentences import (
    edge_warnings,
    how_chosen,
    instrument_notes,
    instrument_warnings,
    pruning_note,
    schedule_sentence,
    schedule_warnings,
    search_sentence_of,
    searched_on,
    verdict_sentence,
)
from steepest.compare.results.tables import records_of, to_targets
from steepest.compare.spec import Spec
from steepest.page.templates import templates
from steepest.page.text import harmless

EARLY_NOTE = (
    "The study stops early: a verdict rests on the sequential p-value of the last look that a method took part in, and "
    "the interval of its difference is the repeated one, which holds at every look and is wider for it."
)


@functools.cache
def environment(*, escape: bool) -> jinja2.Environment:
    """The templates, which are compiled once; filters print as the comparison has it whose ``spec`` is rendered.

    Args:
        escape: for HTML; everything that comes from a user is escaped.
    """
    found = templates("steepest.compare.report", escape=escape)
    found.filters.update(
        difference=_make_filter(format_difference),
        evaluations=format_evaluations,
        ratio=format_ratio,
        target=_make_filter(format_target),
        sentence=verdict_sentence,
        linked=_link_sentence,
        commit=_format_commit,
        general=lambda value: f"{value:g}",
        metric_of=lambda value, of: format_metric(of.spec, value),
        metric_name=lambda of: format_metric_name(of.spec),
        difference_of=lambda row, of: format_difference(of.spec, row.comparison.difference),
    )
    return found


def _make_filter(show: Callable[[Spec, Any], str]) -> Callable[[Context, Any], str]:
    """Make a filter that prints as the comparison has it whose spec is rendered."""

    @jinja2.pass_context
    def shown(rendered: Context, value: Any) -> str:
        return show(rendered["spec"], value)

    return shown


def _format_commit(entry: Mapping[str, Any]) -> str:
    """Format what a call of the command says of git, with what stands before it."""
    at = entry.get("git")
    if not isinstance(at, dict) or not isinstance(commit := at.get("commit"), str):
        return ""
    return f"; git commit {commit[:12]}{' with changes that are not in it' if at.get('changed') else ''}"


def _link_sentence(summary: Summary, anchor: str) -> Markup:
    """Link the verdict's first mention of the comparison to it."""
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
        "budget": budget_sentence(spec),
        "data_sentence": data_sentence(spec),
        "schedule": schedule_sentence(spec),
        "recipe": recipe_sentence(spec),
        "chosen_how": how_chosen(spec),
        "searched_on": searched_on(spec),
        "search_told": search_sentence_of(spec),
        "early_note": EARLY_NOTE,
        "sentence": verdict_sentence(summary),
        "warnings": edge_warnings(summary),
        "cost_notes": cost_notes(summary),
        "pruning_note": pruning_note(summary),
        "caveats": caveats(summary),
        "order_lines": order_lines(summary),
        "pairs": pairs_of(summary),
        "pair_name": format_pair,
        "to_targets": {name: to_targets(spec, row) for name, row in rows.items()} if several else {},
        "trust": any(row.comparison.interval or searched(spec, row) for row in summary.rows),
        "tuning_curves": any(searched(spec, row) for row in summary.rows),
        "instrument_notes": instrument_notes(spec),
        "instrument_warnings": instrument_warnings(summary),
        "schedule_warnings": schedule_warnings(summary),
        "estimators": any(method.estimators for method in spec.methods),
        "failures": failures(summary),
        "devices": sorted({record.device for record in records if record.device}),
        "total_evaluations": sum(record.gradient_evaluations or 0 for record in records),
        "total_seconds": sum(record.seconds or 0.0 for record in records),
        "looks": looks(summary),
        "metric": format_metric_name(spec),
        "final_runs": any(row.finals for row in summary.rows),
        "lower": not spec.workload.higher_is_better,
        "reached": any(row.reached for row in summary.rows),
        "lost": any(row.diverged or row.failed or row.pruned for row in summary.rows),
        "columns": {
            "results": result_columns(summary),
            "trust": trust_columns(summary),
            "methods": method_columns(summary),
            "tasks": task_columns(summary),
            "pairs": pair_columns(summary),
        },
        "name_of": lambda row: row.method.name,
    }

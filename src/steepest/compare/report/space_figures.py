"""A figure for each hyperparameter that was searched beside the learning rate."""

from typing import Any

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Summary
from steepest.compare.report.style import looks, metric_window, validation_axis, value_format
from steepest.compare.results.formats import format_metric_name, format_value
from steepest.page.figure import Figure
from steepest.page.look import named
from steepest.training.definitions.range import Range


def space_figures(summary: Summary) -> list[Figure]:
    """What the search found at each value of what it searched, the lr apart."""
    names = dict.fromkeys(name for row in summary.rows for name in row.method.space if name != "lr")
    metric = format_metric_name(summary.spec)
    depends = any(domain.when for row in summary.rows for domain in row.method.space.values())
    return [
        Figure(
            f"space-{number}",
            f"Sensitivity to {name}",
            f"Validation {metric} of every run of the search, whatever its other hyperparameters were; the ring is the "
            "chosen one, a cross a run that diverged or failed, a triangle one that was stopped early."
            + (" A run in which it was not searched is left out." if depends else ""),
            sensitivity_to(summary, name),
            place="trust",
        )
        for number, name in enumerate(names, 1)
    ]


def sensitivity_to(summary: Summary, name: str) -> go.Figure:
    """Categories, if a method chooses from values, or an axis of numbers."""
    plot = go.Figure()
    looking = looks(summary)
    rows = [row for row in summary.rows if name in row.method.space]
    domains = [row.method.space[name] for row in rows]
    are_numbers = all(isinstance(domain, Range) for domain in domains)

    def shown(value: Any) -> Any:
        return value if are_numbers else format_value(value)

    found = [x for row in rows for r in row.runs_of_search if (x := r.found) is not None]
    window = metric_window(summary, found) or [min(found, default=0.0), max(found, default=1.0)]
    floor = window[0] if summary.spec.workload.higher_is_better else window[1]
    for row in rows:
        look = looking[row.method.name]
        runs = [r for r in row.runs_of_search if name in r.hyperparameters]
        chosen = [r.hyperparameters for r in row.all_chosen or ([] if row.chosen is None else [row.chosen])]
        for kept, symbol, what in (
            ([r for r in runs if r.found is not None], look.symbol, f"%{{y:{value_format(summary)}}}"),
            ([r for r in runs if r.found is None], "x", "%{customdata}"),
        ):
            if kept:
                plot.add_scatter(
                    x=[shown(r.hyperparameters[name]) for r in kept],
                    y=[floor if r.found is None else r.found for r in kept],
                    mode="markers",
                    marker={
                        "color": look.colour,
                        "size": 9,
                        "symbol": ["triangle-down-open" if r.status == "pruned" else symbol for r in kept],
                    },
                    customdata=[r.status for r in kept],
                    hovertemplate=f"%{{fullData.name}}, {name} %{{x}}: {what}<extra></extra>",
                    showlegend=symbol != "x" or not found,
                    **named(row.method.name),
                )
        if ringed := [r for r in runs if r.found is not None and r.hyperparameters in chosen]:
            plot.add_scatter(
                x=[shown(r.hyperparameters[name]) for r in ringed],
                y=[r.found for r in ringed],
                mode="markers",
                marker={"color": look.colour, "size": 15, "symbol": "circle-open", "line": {"width": 3}},
                hoverinfo="skip",
                showlegend=False,
                **named(row.method.name),
            )
    if not are_numbers:
        values = dict.fromkeys(format_value(value) for domain in domains for value in getattr(domain, "values", ()))
        order = [*values, *sorted({x for trace in plot.data for x in trace.x} - values.keys())]
        plot.update_xaxes(type="category", categoryorder="array", categoryarray=order, title=name)
    elif all(isinstance(domain, Range) and domain.log for domain in domains):
        plot.update_xaxes(type="log", title=f"{name} (log)")
    else:
        plot.update_xaxes(title=name)
    validation_axis(summary, plot, found)
    return plot

"""Several comparisons at once: the performance profile, and the words for it."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from steepest.compare.analysis.profiles import UP_TO, Across, performance_profile
from steepest.compare.analysis.summary import Summary
from steepest.compare.report.style import looks
from steepest.page.figure import Figure
from steepest.page.look import named
from steepest.page.text import count


def profile_figure(found: Sequence[Across], summaries: Sequence[Summary]) -> Figure:
    """The share of comparisons in which a method costs at most so many times what the cheapest costs."""
    plot = go.Figure()
    looking = looks(summaries[0])
    for row in found:
        look = looking[row.method]
        steps = sorted({1.0, UP_TO, *(x for x in row.ratios if math.isfinite(x) and x <= UP_TO)})
        plot.add_scatter(
            x=steps,
            y=[performance_profile(row.ratios, step) for step in steps],
            mode="lines",
            line={"color": look.colour, "shape": "hv", "dash": look.dash},
            hovertemplate="%{fullData.name}, at most %{x:.3~g} times the fewest: %{y:.0%}<extra></extra>",
            **named(row.method),
        )
    plot.update_xaxes(title=f"{summaries[0].spec.budget} over the fewest (log)", type="log", tickvals=[1, 1.5, 2, 3, 4])
    plot.update_yaxes(title=f"share of {kinds(summaries)}", tickformat=".0%", range=[-0.03, 1.03])
    return Figure(
        "profile",
        "Performance profile",
        f"On how many of the {len(summaries)} {kinds(summaries)} a method reaches the target with at most so many "
        f"times the {summaries[0].spec.budget} that the fastest one needs. Higher is better; at the left edge is the "
        f"share of {kinds(summaries)} on which it is the fastest.",
        plot,
        switches=("x",),
    )


def title(summaries: Sequence[Summary]) -> str:
    """What was compared, and on what: a workload, several, or one with several batch sizes."""
    specs = [summary.spec for summary in summaries]
    methods = count(len(specs[0].methods), "method")
    if len(specs) == 1:
        return f"{specs[0].name}: {methods} compared"
    names, sizes = {spec.workload.name for spec in specs}, {spec.batch_size for spec in specs}
    if len(names) == 1 and len(sizes) == len(specs):
        return f"{names.pop()} with {len(sizes)} batch sizes: {methods} compared"
    return f"{count(len(names), 'workload')}: {methods} compared"


def kinds(summaries: Sequence[Summary]) -> str:
    """What the comparisons of a study differ in."""
    names = {summary.spec.workload.name for summary in summaries}
    return "workloads" if len(names) == len(summaries) else "batch sizes" if len(names) == 1 else "comparisons"


def across_caption(summaries: Sequence[Summary]) -> str:
    """What the scores across comparisons are."""
    baseline, spec = summaries[0].spec.baseline, summaries[0].spec
    return (
        f"Cost is the median of the {spec.unit} to the target; a miss is infinite. The score is the "
        f"mean height of the performance profile up to {UP_TO:g} times the fewest, from 0 to 1 (AlgoPerf's). It "
        f"depends on which methods are compared. The geometric mean is that of the ratios to {baseline}: below 1 is "
        f"fewer {spec.budget}; 0 if {baseline} alone misses a target, infinite if the method alone does. "
        f"{kinds(summaries).capitalize()} on which both miss are left out of it."
    )

"""The figure on which the verdicts rest: every method's difference to the baseline, and what could not be seen."""

import plotly.graph_objects as go

from steepest.compare.analysis.summary import Row, Summary
from steepest.compare.results.formats import (
    format_difference,
    format_difference_interval,
    format_metric_name,
    format_size,
    format_verdict,
)
from steepest.page.look import axis_title, label, named

# Legible on white and on near-black, as the page's own colours of verdicts are on one of them.
COLOURS = {"better": "#009E73", "worse": "#D55E00", "no difference seen": "#7D8790", "no verdict": "#7D8790"}
BAND = "rgba(125,135,144,0.22)"
_DASHES = {"better": "solid", "worse": "solid", "no difference seen": "dot", "no verdict": "dot"}
_POINTERS = ("triangle-left", "triangle-right")


def forest_rows(summary: Summary) -> list[Row]:
    """The methods that have a difference to show, the best one first."""
    sign = -1 if summary.spec.workload.higher_is_better else 1
    rows = [row for row in summary.rows if row.comparison.difference is not None]
    return sorted(rows, key=lambda row: sign * (row.comparison.difference or 0.0))


def scale(summary: Summary) -> int:
    """What the axis counts in: percentage points of a share."""
    return 100 if summary.spec.workload.percent else 1


def forest(summary: Summary) -> go.Figure:
    """A row a method: the mean of its paired differences, their interval, and a band around zero.

    The band reaches as far as true differences would have been seen less than 8 times in 10.
    """
    plot = go.Figure()
    by = scale(summary)
    for row in forest_rows(summary):
        comparison = row.comparison
        if comparison.detectable is not None:
            plot.add_bar(
                x=[2 * by * comparison.detectable],
                base=[-by * comparison.detectable],
                y=[row.method.name],
                orientation="h",
                width=0.8,
                marker={"color": BAND, "line": {"width": 0}},
                hovertemplate="%{fullData.name}: below " + format_size(summary.spec, comparison.detectable) + " unseen"
                "<extra></extra>",
                showlegend=False,
                **named(row.method.name),
            )
    for row in forest_rows(summary):
        plot.add_scatter(**_draw_bar(summary, row), showlegend=False, **named(row.method.name))
    unit = " (pp)" if summary.spec.workload.percent else ""
    plot.update_xaxes(
        title=axis_title(f"difference in test {format_metric_name(summary.spec)}") + unit,
        tickformat="+~g",
        zeroline=True,
        zerolinewidth=2,
        zerolinecolor="#888888",
    )
    higher = summary.spec.workload.higher_is_better
    plot.add_annotation(
        text="better →" if higher else "← better", x=0, xref="paper", xanchor="left",  # right are buttons
        y=1, yref="paper", yanchor="bottom", showarrow=False,
    )  # fmt: skip
    plot.update_layout(barmode="overlay", margin={"t": 28})
    return plot


def _draw_bar(summary: Summary, row: Row) -> dict[str, object]:
    """Draw a method's mean difference and the ends of its interval; the verdict is in colour, marker and line."""
    comparison, by = row.comparison, scale(summary)
    difference = comparison.difference or 0.0
    ends = [] if comparison.interval is None else [comparison.interval.low, comparison.interval.high]
    values = [ends[0], difference, ends[1]] if ends else [difference]
    symbol = _choose_symbol(comparison.verdict, difference)
    colour = COLOURS.get(comparison.verdict, COLOURS["no verdict"])
    interval = f" ({format_difference_interval(summary.spec, comparison.interval)})" if ends else ""
    return {
        "x": [by * value for value in values],
        "y": [row.method.name] * len(values),
        "mode": "lines+markers",
        "line": {"color": colour, "width": 2, "dash": _DASHES.get(comparison.verdict, "dot")},
        "marker": {
            "color": colour,
            "symbol": ["line-ns-open", symbol, "line-ns-open"] if ends else [symbol],
            "size": [9, 13, 9] if ends else [13],
            "line": {"color": colour, "width": 2},
            "opacity": 1,
        },
        "hovertemplate": f"%{{fullData.name}}: {format_difference(summary.spec, difference)}{interval}, "
        f"{label(format_verdict(comparison), 80)}<extra></extra>",
    }


def _choose_symbol(verdict: str, difference: float) -> str:
    """Choose a pointer to the side that is better or worse, a ring where no difference was seen, a cross without a
    verdict."""
    if verdict in ("better", "worse"):
        return _POINTERS[difference > 0]
    return "circle-open" if verdict == "no difference seen" else "x-thin-open"


def forest_caption(summary: Summary) -> str:
    """What is drawn, and which methods are not."""
    higher = summary.spec.workload.higher_is_better
    better, worse = ("▶", "◀") if higher else ("◀", "▶")
    rows = forest_rows(summary)
    verdicts = {row.comparison.verdict for row in rows}
    keys = {
        "better": f"{better} better",
        "worse": f"{worse} worse",
        "no difference seen": "○ no difference seen",
        "no verdict": "\N{MULTIPLICATION SIGN} no verdict",
    }
    said = ", ".join(text for verdict, text in keys.items() if verdict in verdicts)
    stopping = summary.spec.stopping
    interval, seeds = ("repeated 95 % interval", f"{stopping.seeds} seeds") if stopping else ("95 % interval", "")
    sentences = [f"{said}. A bar is the {interval} of the differences, paired by seed"]
    if any(row.comparison.detectable is not None for row in rows):
        sentences.append(
            "the grey band is what could not have been seen: a true difference inside of it is found less than 8 times "
            f"in 10 with {seeds or 'this many seeds'}"
        )
    drawn = {row.method.name for row in rows} | {summary.spec.baseline}
    if missing := [row.method.name for row in summary.rows if row.method.name not in drawn]:
        sentences.append(f"not drawn, for want of a pair of finished runs: {', '.join(missing)}")
    return "; ".join(sentences) + "."

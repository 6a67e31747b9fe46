"""What a model knew of each task of a sequence, after each of them: a small table of colours for each method."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from steepest.compare.analysis.summary import Summary
from steepest.compare.analysis.tasks import mean_matrix
from steepest.compare.results.formats import format_metric
from steepest.page.look import PALETTE, label

ACROSS = 2  # methods in a row
SIDE = 240  # pixels of height of one


def task_matrices(summary: Summary) -> go.Figure:
    """A heat map for each method whose final runs have seen all tasks."""
    drawn = [(row, matrix) for row in summary.rows if (matrix := mean_matrix(row))]
    if not drawn:
        return go.Figure()
    columns = min(ACROSS, len(drawn))
    rows = -(-len(drawn) // columns)
    height = SIDE * rows + 80
    plot = make_subplots(rows=rows, cols=columns, vertical_spacing=70 / height, horizontal_spacing=0.12)
    values = [value for _, matrix in drawn for after in matrix for value in after]
    low, high = min(values), max(values)
    colours = ["rgba(128,128,128,.08)", PALETTE[0]]
    scale = colours if summary.spec.workload.higher_is_better else colours[::-1]
    for number, (row, matrix) in enumerate(drawn):
        place = {"row": number // columns + 1, "col": number % columns + 1}
        tasks = [str(task) for task in range(1, len(matrix) + 1)]
        plot.add_heatmap(
            z=matrix, x=tasks, y=tasks, zmin=low, zmax=high, colorscale=scale, showscale=False, xgap=1, ygap=1,
            text=[[format_metric(summary.spec, value) for value in after] for after in matrix],
            hovertemplate="after task %{y}, on task %{x}: %{text}<extra></extra>",
            **place,
        )  # fmt: skip
        plot.update_xaxes(title={"text": label(row.method.name, 26), "font": {"size": 11}}, **place)
    plot.update_layout(showlegend=False, hovermode="closest", height=height)
    plot.update_xaxes(type="category")
    plot.update_yaxes(type="category", autorange="reversed")
    return plot

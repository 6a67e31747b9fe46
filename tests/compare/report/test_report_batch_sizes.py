"""What the report shows of a workload at several batch sizes."""

import dataclasses
import math

import pytest

from steepest.compare.report import write_report
from steepest.compare.report.batch_sizes import sweep_figures
from tests.compare.report.pages import made_up, opened, scrolled_through, with_fields

SIZES = (8, 32, 128)  # 320 samples and 30 epochs: 1200, 300 and 90 evaluations at most
METHODS = ("sgd", "adamw", "sngm")


def swept(name="digits-mlp", sizes=SIZES, change=lambda record: record, **options):
    found = []
    options = {"methods": METHODS, "trials": 4, "seeds": 3, **options}
    for size, summary in zip(sizes, made_up(workloads=tuple(map(str, sizes)), **options), strict=True):
        workload = dataclasses.replace(summary.spec.workload, name=name)
        fields = {"name": f"{name}@{size}", "batch_size": size, "workload": workload}
        found.append(with_fields(summary, change, **fields))
    return found


def lines(figure):
    """By name and mode: x to y."""
    return {(t.name, t.mode): dict(zip(t.x, t.y, strict=True)) for t in figure.plot.data if t.name}


def row_of(summary, method):
    return next(row for row in summary.rows if row.method.name == method)


def test_what_is_drawn_is_what_the_tables_say():
    summaries = swept()
    figures = sweep_figures([summaries[2], summaries[0], summaries[1]])  # in whatever order they were asked for
    assert list(figures) == ["sweep-metric", "sweep-cost", "sweep-lr"]
    for method in METHODS:
        rows = {summary.spec.batch_size: row_of(summary, method) for summary in summaries}
        line = (method, "lines+markers")
        assert lines(figures["sweep-metric"])[line] == {size: row.mean for size, row in rows.items()}
        assert lines(figures["sweep-cost"])[line] == {size: row.evaluations_to_target for size, row in rows.items()}
        chosen = {size: row.chosen.hyperparameters["lr"] for size, row in rows.items()}
        assert lines(figures["sweep-lr"])[line] == chosen
        trace = next(t for t in figures["sweep-cost"].plot.data if t.name == method)
        ends = [{r.evaluations_to_target for r in row.finals} for row in rows.values()]
        assert [y + up for y, up in zip(trace.y, trace.error_y.array, strict=True)] == [max(x) for x in ends]
        assert [y - down for y, down in zip(trace.y, trace.error_y.arrayminus, strict=True)] == [min(x) for x in ends]
        assert list(trace.x) == list(SIZES)
    budget = figures["sweep-cost"].plot.data[-1]
    assert dict(zip(budget.x, budget.y, strict=True)) == {8: 1200, 32: 300, 128: 60}


def test_misses_and_edges_are_marked():
    def change(record):
        missed = record.method == "adamw" or (record.method == "sngm" and record.trial == 0)
        return dataclasses.replace(record, evaluations_to_target=None) if missed else record

    summaries = swept(change=change)
    figures = sweep_figures(summaries)
    cost = lines(figures["sweep-cost"])
    assert cost["adamw", "markers"] == {8: 1200, 32: 300, 128: 60}
    assert cost["adamw", "lines+markers"] == {}
    assert all(math.isfinite(y) for y in cost["sngm", "lines+markers"].values())  # two of three seeds are a median
    trace = next(t for t in figures["sweep-cost"].plot.data if t.name == "sngm")
    assert list(trace.customdata) == ["2 of 3"] * 3
    for trace in figures["sweep-lr"].plot.data:
        edges = [bool(row_of(summary, trace.name).edges) for summary in summaries]
        assert [symbol == "circle-open" for symbol in trace.marker.symbol] == edges


def test_only_where_one_workload_has_several_sizes():
    assert sweep_figures(made_up(methods=METHODS, trials=4, seeds=2)) == {}
    assert sweep_figures(swept(share=0.2)) == {}  # nothing final yet
    both = sweep_figures([*swept(), *swept("fashion-mlp", (16, 64))])
    assert [key for key in both if key.endswith("-2")] == ["sweep-metric-2", "sweep-cost-2", "sweep-lr-2"]
    assert both["sweep-lr-2"].title == "Chosen learning rate against the batch size (fashion-mlp)"


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.slow
def test_the_page_of_a_sweep(browser, tmp_path, width):
    path = write_report(tmp_path, swept(), [])
    view = opened(browser, path, width=width)
    assert view.locator("h1").inner_text() == "digits-mlp with 3 batch sizes: 3 methods compared"
    assert view.locator("h2").first.inner_text() == "Across batch sizes"
    scrolled_through(view)
    assert view.locator("#plot-sweep-cost .xtick").all_text_contents() == ["8", "32", "128"]
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    with view.expect_download() as download:
        view.get_by_label("Save figure sweep-cost as SVG").click()
    assert download.value.suggested_filename == "sweep-cost.svg"  # of all comparisons, not of the first
    assert view.messages == []
    view.context.close()
    assert "## Across batch sizes" in path.with_name("report.md").read_text()

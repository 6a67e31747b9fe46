"""What the page says and leaves out: many methods in one sentence, advice at an edge, what has no data."""

import dataclasses
import re

import jinja2
import pytest

from steepest.compare.analysis import trust
from steepest.compare.analysis.summary import summarize
from steepest.compare.report.context import environment
from steepest.compare.report.figures import figures
from steepest.compare.report.page import render_html, render_markdown
from steepest.compare.results.sentences import edge_warnings, space_left, verdict_sentence
from steepest.training.definitions.range import Range
from tests.compare.analysis.test_summary import make_spec, tune
from tests.compare.report.pages import made_up, many, with_fields

PP = "\u00a0pp"


def judged(higher=True, **verdicts):
    """Thirty methods, so many of each verdict; the k-th of a verdict differs by k + 1 points."""
    summary = many(30, "nesterov-{:02d}")
    workload = dataclasses.replace(summary.spec.workload, higher_is_better=higher)
    given = [verdict.replace("_", " ") for verdict, number in verdicts.items() for _ in range(number)]
    assert len(given) == 29
    rows, seen = [], dict.fromkeys(given, 0)
    sign = 1 if higher else -1
    for row in summary.rows:
        if row is not summary.baseline:
            verdict = given.pop(0)
            seen[verdict] += 1
            size = {"better": sign, "worse": -sign}.get(verdict, 0) * seen[verdict] / 100
            row = dataclasses.replace(
                row, comparison=dataclasses.replace(row.comparison, verdict=verdict, difference=size)
            )
        rows.append(row)
    return dataclasses.replace(summary, rows=rows, spec=dataclasses.replace(summary.spec, workload=workload))


@pytest.mark.parametrize(
    ("verdicts", "said"),
    [
        ({"better": 22, "no_difference_seen": 5, "worse": 2},
         "22 of 29 are better, the best X by +22.00 pp; 2 are worse, the worst X by -2.00 pp; 5 show no difference."),
        ({"better": 1, "no_difference_seen": 28}, "1 of 29 is better, X by +1.00 pp; 28 show no difference."),
        ({"no_difference_seen": 29}, "none of 29 is better; all 29 show no difference."),
        ({"better": 29}, "all 29 are better, the best X by +29.00 pp."),
        ({"worse": 29}, "none of 29 is better; all 29 are worse, the worst X by -29.00 pp."),
        ({"better": 27, "worse": 1, "no_difference_seen": 1},
         "27 of 29 are better, the best X by +27.00 pp; 1 is worse, X by -1.00 pp; 1 shows no difference."),
        ({"no_verdict": 29}, "there is no verdict on any of 29."),
        ({"better": 20, "no_verdict": 9},
         "20 of 29 are better, the best X by +20.00 pp; there is no verdict on 9 of 29."),
    ],
)  # fmt: skip
def test_of_many_methods_the_headline_counts(verdicts, said):
    sentence = verdict_sentence(judged(**verdicts))
    told = sentence.partition("(3 seeds), ")[2]
    assert re.sub(r"nesterov-\d+", "X", told) == said.replace(" pp", PP)


def test_where_lower_is_better_the_best_is_the_lowest():
    summary = judged(higher=False, better=3, worse=1, no_difference_seen=25)
    sentence = verdict_sentence(summary)
    best = min(summary.rows, key=lambda row: row.comparison.difference or 0)
    assert f"3 of 29 are better, the best {best.method.name} by -3.00{PP}; 1 is worse, " in sentence
    assert f"by +1.00{PP}; 25 show no difference." in sentence
    (markdown, page) = (render([summary], []) for render in (render_markdown, render_html))
    for text in (markdown, page):
        assert sentence in text
        assert "est accuracy \N{DOWNWARDS ARROW}" in text
        assert "\N{DOWNWARDS ARROW}: lower is better" in text


def test_few_methods_are_called_by_their_names():
    sentence = verdict_sentence(made_up(workloads=("a",), methods=("sgd", "sngm", "adamw"), trials=2, seeds=3)[0])
    assert "sngm (" in sentence
    assert "of 2" not in sentence


@pytest.mark.parametrize(
    ("tried", "best", "said"),
    [
        ((0.001, 0.01, 0.02), 0.02, "highest of those tried; on to 1, where 0.001:1 ends, nothing"),
        ((0.1, 0.3, 0.9), 0.1, "lowest of those tried; on to 0.001, where 0.001:1 ends"),
        ((0.001, 0.1, 0.9), 0.9,
         "highest of those tried; a better one may lie above. Searched was 0.001:1; widen its upper end"),
        ((0.0011, 0.1, 0.9), 0.0011,
         "lowest of those tried; a better one may lie below. Searched was 0.001:1; widen its lower end"),
    ],
)  # fmt: skip
def test_a_wider_range_is_advised_only_where_its_end_was_tried(tried, best, said):
    spec = make_spec()
    methods = tuple(dataclasses.replace(m, space={"lr": Range(1e-3, 1.0)}) for m in spec.methods)
    records = [
        dataclasses.replace(tune("good", i, 0.9 if lr == best else 0.5), hyperparameters={"lr": lr})
        for i, lr in enumerate(tried)
    ]
    (warning,) = edge_warnings(summarize(dataclasses.replace(spec, methods=methods), records))
    assert said in warning
    assert ("widen" in warning) is ("nothing was tried" not in warning)


def test_the_room_left_is_on_the_scale_that_was_searched():
    assert space_left(Range(0.0, 1.0, log=False), 0.5, "lowest") == 0.5
    assert space_left(Range(1e-4, 1.0), 1e-2, "lowest") == pytest.approx(0.5)


def test_columns_and_figures_without_data_are_left_out():
    made = made_up(workloads=("a",), methods=("sgd", "sngm"), trials=2, seeds=3, points=4)
    whole = render_html(made, [])
    assert all(f'data-by="{column}"' in whole for column in ("evaluations_to_target", "diverged", "p_value"))

    def bare(record):
        return dataclasses.replace(record, curve=None, evaluations_to_target=None, status="finished",
                                   validation_metric=None if record.phase == "tune" else 0.5)  # fmt: skip

    missed = with_fields(made[0], bare)
    text = render_html([missed], [])
    for column in ("evaluations_to_target", "diverged", "lr", "sharpness", "fixed", "evaluations_per_step"):
        assert f'data-by="{column}"' not in text or column == "fixed"
    assert "No run reached the target, 85\u00a0%." in text
    assert "No run diverged, failed or was stopped early." in text
    assert [figure.key for figure in figures(missed)] == ["forest", "finals"]
    alone = render_html(made_up(workloads=("a",), methods=("sgd",), trials=2, seeds=3, points=4), [])
    assert 'data-by="difference"' not in alone
    assert 'id="legend"' not in alone


def test_a_curve_of_one_point_can_be_seen_and_a_loss_below_zero_too():
    summary = made_up(workloads=("a",), methods=("sgd", "sngm"), trials=2, seeds=3, points=1)[0]
    drawn = {figure.key: figure.plot for figure in figures(summary)}
    assert {trace.mode for trace in drawn["validation"].data if trace.hovertemplate} == {"lines+markers"}
    assert drawn["loss"].layout.yaxis.type == "log"

    for lowest, axis in ((-1.0, None), (0.0, "log")):  # a logarithmic axis has no place for what is below zero

        def moved(record, lowest=lowest):
            curve = None if record.curve is None else {**record.curve, "train_loss": [lowest + (record.seed == 1)]}
            return dataclasses.replace(record, curve=curve)

        drawn = {figure.key: figure.plot for figure in figures(with_fields(summary, moved))}
        assert drawn["loss"].layout.yaxis.type == axis


def test_templates_are_compiled_once_and_a_search_is_judged_once(monkeypatch):
    made = made_up(methods=("sgd", "sngm"), trials=6, seeds=2, points=3)
    compiled = []
    plain = jinja2.Environment.compile
    monkeypatch.setattr(jinja2.Environment, "compile", lambda *a, **k: (compiled.append(a[2]), plain(*a, **k))[1])
    environment.cache_clear()
    trust._tuning_curve.cache_clear()
    for _ in range(2):
        render_html(made, [])
        render_markdown(made, [])
    assert len(compiled) == len(set(compiled)) > 4
    assert trust._tuning_curve.cache_info().misses == 6  # three comparisons of two methods

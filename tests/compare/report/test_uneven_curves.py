"""Runs of one method that are measured at different evaluations, as one that pays for what its steps take."""

from types import SimpleNamespace

from steepest.compare.report.run_figures import _align

SPEC = SimpleNamespace(paid=lambda method, evaluations: evaluations)


def run(at, values):
    return SimpleNamespace(method="m", curve={"gradient_evaluations": at, "validation_metric": values})


def test_they_are_drawn_by_what_each_had_been_at_last():
    runs = [run([4, 9, 12], [0.1, 0.2, 0.3]), run([6, 12], [0.5, 0.6])]
    assert _align(SPEC, runs, "validation_metric") == [(6, 0.1, 0.5), (9, 0.2, 0.5), (12, 0.3, 0.6)]


def test_those_at_the_same_evaluations_are_taken_point_by_point():
    runs = [run([4, 8], [0.1, None]), run([4, 8], [0.5, 0.6])]
    assert _align(SPEC, runs, "validation_metric") == [(4, 0.1, 0.5), (8, None, 0.6)]

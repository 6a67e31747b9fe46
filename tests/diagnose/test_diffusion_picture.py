"""The picture of geodesics and clouds: what is drawn is what was computed."""

import runpy
import sys

import pytest
import torch

from steepest.diagnose.diffusion_picture import picture
from steepest.diagnostics.diffusion import geodesic, gradient_flow, sgd_paths
from tests.diagnostics.diffusion.problems import LeastSquares, numbers
from tests.markdown import ROOT

OPTIONS = {"time": 0.5, "lr": 0.1, "batch_size": 2, "replicas": 6, "points": 5}


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def points(trace):
    return torch.tensor([trace.x, trace.y], dtype=torch.float64).T


def test_two_weights_are_drawn_as_they_are():
    metric = LeastSquares(6, 2).metric(0.5)
    figure = picture(metric, **OPTIONS)
    drawn = traces(figure)
    torch.testing.assert_close(points(drawn["geodesic, eps 0.5"]), geodesic(metric, None, 0.5).positions)
    torch.testing.assert_close(points(drawn["geodesic, eps 0"]), geodesic(metric.with_eps(0), None, 0.5).positions)
    torch.testing.assert_close(points(drawn["gradient flow"]), gradient_flow(metric, 0.5).positions)
    cloud = sgd_paths(metric, lr=0.1, batch_size=2, steps=5, replicas=6).positions
    torch.testing.assert_close(points(drawn["SGD, 6 runs"]), cloud[-1])
    assert points(drawn["start"]).tolist() == [metric.weights.tolist()]
    loss = drawn["loss"]
    assert loss.z[1][3] == metric.loss([loss.x[3], loss.y[1]])
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("x, number 1", "x, number 2")
    # All that is drawn is within the grid.
    for name in drawn.keys() - {"loss"}:
        assert min(loss.x) < points(drawn[name])[:, 0].min()
        assert points(drawn[name])[:, 1].max() < max(loss.y)


def test_more_weights_are_drawn_in_a_plane():
    metric = LeastSquares(6, 4).metric(0.5)
    first, second = numbers(4, seed=8), numbers(4, seed=9)
    drawn = traces(picture(metric, plane=[{"x": first}, second], **OPTIONS))
    assert points(drawn["start"]).tolist() == [[0.0, 0.0]]
    a = first / first.norm()
    b = second - (second @ a) * a
    b = b / b.norm()
    moved = geodesic(metric, None, 0.5).positions - metric.weights
    expected = torch.stack([moved @ a, moved @ b], dim=1)
    torch.testing.assert_close(points(drawn["geodesic, eps 0.5"]), expected, atol=1e-12, rtol=1e-9)
    loss = drawn["loss"]
    assert loss.z[4][0] == pytest.approx(metric.loss(metric.weights + loss.x[0] * a + loss.y[4] * b))


def test_what_cannot_be_drawn_is_refused():
    metric = LeastSquares(6, 4).metric(0.5)
    with pytest.raises(ValueError, match="plane must be two directions, since the model has 4 weights, not 2"):
        picture(metric, **OPTIONS)
    with pytest.raises(ValueError, match="plane must be two directions, got 1"):
        picture(metric, plane=[numbers(4)], **OPTIONS)
    for second in (2 * numbers(4), torch.zeros(4)):
        with pytest.raises(ValueError, match="neither 0 nor parallel"):
            picture(metric, plane=[numbers(4), second], **OPTIONS)
        with pytest.raises(ValueError, match="neither 0 nor parallel"):
            picture(metric, plane=[second * 0, numbers(4)], **OPTIONS)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        picture(metric, plane=[numbers(4), numbers(4, seed=1)], **{**OPTIONS, "points": 1})
    with pytest.raises(ValueError, match="lr must be finite and above 0, got 0"):
        picture(LeastSquares(6, 2).metric(0.5), **{**OPTIONS, "lr": 0})


def test_the_example_writes_its_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["noise_geometry.py", "--out", str(tmp_path / "made")])
    runpy.run_path(str(ROOT / "examples" / "noise_geometry.py"), run_name="__main__")
    page = tmp_path / "made" / "report.html"
    assert capsys.readouterr().out.strip() == str(page)
    assert "geodesic, eps 1" in page.read_text()

"""The loss along lines and over planes, and its rise along the gradient: closed forms, invariance, nothing touched."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest.diagnostics import loss_along, loss_plane, sam_sharpness
from tests.diagnostics.diffusion.problems import LeastSquares, Line, half_square, numbers
from tests.diagnostics.problems import Restless, mlp, same, samples, state_of

CROSS_ENTROPY = nn.CrossEntropyLoss()
PROBLEM = LeastSquares(12, 3)
DATA = [(PROBLEM.a, PROBLEM.y)]


def close(found, expected, atol=1e-12, rtol=1e-9):
    torch.testing.assert_close(found, torch.as_tensor(expected, dtype=found.dtype), rtol=rtol, atol=atol)


def squares(x):
    """Every sample's loss in least squares."""
    return (PROBLEM.a @ x - PROBLEM.y).square() / 2


def test_a_line_in_least_squares_and_its_errors():
    way = numbers(3, seed=7)
    found = loss_along(Line(PROBLEM.x), half_square, DATA, direction={"x": way}, span=2.0, points=5)
    close(found.at, [-2.0, -1.0, 0.0, 1.0, 2.0])
    rows = [squares(PROBLEM.x + a * way) for a in found.at.tolist()]
    close(found.losses, [float(row.mean()) for row in rows])
    close(found.standard_errors, [float(row.std()) / 12**0.5 for row in rows])
    assert torch.equal(found.direction["x"], way)
    assert (found.samples, found.passes) == (12, 1)
    assert found.seconds > 0


def test_a_plane_in_least_squares():
    ways = numbers(3, seed=7), numbers(3, seed=8)
    found = loss_plane(
        Line(PROBLEM.x), half_square, DATA, directions=tuple({"x": w} for w in ways), span=0.5, points=(3, 4)
    )
    assert found.losses.shape == found.standard_errors.shape == (3, 4)
    for i, a in enumerate(found.at[0].tolist()):
        for j, b in enumerate(found.at[1].tolist()):
            row = squares(PROBLEM.x + a * ways[0] + b * ways[1])
            assert float(found.losses[i, j]) == pytest.approx(float(row.mean()))
            assert float(found.standard_errors[i, j]) == pytest.approx(float(row.std()) / 12**0.5)
    assert [float(at[0]) for at in found.at] == [-0.5, -0.5]
    assert found.path is None
    assert found.shares is None


def test_unequal_batches_are_one_batch():
    way, line = {"x": numbers(3, seed=7)}, Line(PROBLEM.x)
    whole = loss_along(line, half_square, DATA, direction=way, points=3)
    sizes = [1, 0, 7, 4]
    parts = list(zip(PROBLEM.a.split(sizes), PROBLEM.y.split(sizes), strict=True))
    loader = DataLoader(TensorDataset(PROBLEM.a, PROBLEM.y), 5, shuffle=True)
    for data in (parts, loader):
        found = loss_along(line, half_square, data, direction=way, points=3)
        close(found.losses, whole.losses)
        close(found.standard_errors, whole.standard_errors)


def test_one_sample_has_no_error():
    found = loss_along(Line(PROBLEM.x), half_square, [(PROBLEM.a[:1], PROBLEM.y[:1])], params="*", points=2)
    assert torch.isnan(found.standard_errors).all()
    assert torch.isfinite(found.losses).all()


def convolution():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(12, 4))
    return model, [(torch.randn(6, 2, 3, 3), torch.randint(0, 4, (6,)))]


def lengths(tensor):
    return tensor.flatten(1).norm(dim=1)


def test_filters_of_a_random_direction_are_as_long_as_the_weights():
    model, data = convolution()
    way = loss_along(model, CROSS_ENTROPY, data, points=2).direction
    assert way.keys() == {"0.weight", "4.weight"}  # no bias, no norm's weight
    for name, t in way.items():
        close(lengths(t), lengths(model.get_parameter(name).detach()), rtol=1e-5)
    assert float(way["0.weight"].std()) > 0


def test_a_bias_that_is_asked_for_is_scaled_once_as_a_whole():
    model, data = convolution()
    ways = {
        n: loss_along(model, CROSS_ENTROPY, data, points=2, params="*", normalize=n).direction
        for n in ("filter", "none")
    }
    for name in ("0.bias", "1.weight", "4.bias"):
        bias = model.get_parameter(name).detach()
        drawn, found = ways["none"][name], ways["filter"][name]
        close(found, drawn * bias.norm() / drawn.norm(), rtol=1e-5)
    assert not ways["filter"]["1.bias"].any()  # it is 0 as long as nothing is learnt


def test_layers_are_scaled_as_a_whole():
    model, data = convolution()
    drawn, found = (loss_along(model, CROSS_ENTROPY, data, points=2, normalize=n).direction for n in ("none", "layer"))
    for name, t in found.items():
        close(t, drawn[name] * model.get_parameter(name).detach().norm() / drawn[name].norm(), rtol=1e-5)


def test_a_given_direction_is_taken_as_it_is_unless_it_is_asked_otherwise():
    model, data = convolution()
    way = {"0.weight": torch.ones(3, 2, 2, 2)}
    as_it_is = loss_along(model, CROSS_ENTROPY, data, direction=way, points=2).direction
    assert torch.equal(as_it_is["0.weight"], way["0.weight"])
    assert not as_it_is["4.weight"].any()
    scaled = loss_along(model, CROSS_ENTROPY, data, direction=way, points=2, normalize="filter").direction
    close(lengths(scaled["0.weight"]), lengths(model[0].weight.detach()), rtol=1e-5)


@pytest.mark.parametrize("normalize", ["filter", "layer", "none"])
def test_relu_layers_of_another_scale_give_the_same_curve(normalize):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)).double()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other[0].weight.mul_(10)
        other[0].bias.mul_(10)
        other[2].weight.div_(10)
    curves = [loss_along(m, CROSS_ENTROPY, [samples()], points=5, normalize=normalize) for m in (model, other)]
    apart = float((curves[0].losses - curves[1].losses).abs().max())
    assert (apart < 1e-10) == (normalize != "none")
    assert float(curves[0].losses.std()) > 1e-3


def test_filters_of_several_scales_give_the_same_curve_only_filter_by_filter():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8, eps=1e-12), nn.Tanh(), nn.Linear(8, 3)
    ).double()
    other, scales = copy.deepcopy(model), torch.linspace(1, 20, 8, dtype=torch.float64)
    with torch.no_grad():  # what the norm takes out again
        other[0].weight.mul_(scales[:, None])
        other[1].running_var.mul_(scales**2)
    for normalize, equal in (("filter", True), ("layer", False)):
        curves = [loss_along(m, CROSS_ENTROPY, [samples()], points=5, normalize=normalize) for m in (model, other)]
        assert (float((curves[0].losses - curves[1].losses).abs().max()) < 1e-8) == equal


def test_the_seed_fixes_the_direction_and_the_plane_has_two():
    model, data = mlp(), [samples()]
    found = [loss_plane(model, CROSS_ENTROPY, data, points=(2, 2), seed=seed) for seed in (0, 0, 1)]
    assert same(found[0][:4], found[1][:4])
    assert not torch.equal(found[0].losses, found[2].losses)
    assert not torch.equal(found[0].directions[0]["0.weight"], found[0].directions[1]["0.weight"])
    line = loss_along(model, CROSS_ENTROPY, data, points=2)
    assert torch.equal(line.direction["0.weight"], found[0].directions[0]["0.weight"])


def test_the_plane_of_a_path():
    """A path on a known plane, but for a little beside it."""
    line = Line(torch.zeros(5, dtype=torch.float64))
    axes = torch.linalg.qr(numbers(5, 3)).Q.T
    flat = torch.tensor([[4.0, 0.0], [3.0, 1.0], [1.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    places = flat @ axes[:2] + 1e-4 * numbers(4, 1) * axes[2]
    data = [(numbers(6, 5), numbers(6))]
    found = loss_plane(line, half_square, data, path=list(places), points=(5, 4))
    basis = torch.stack([way["x"] for way in found.directions])
    close(basis @ basis.T, torch.eye(2))
    assert float((basis - basis @ axes[:2].T @ axes[:2]).abs().max()) < 1e-3  # the same plane
    close(found.path, places @ basis.T)
    assert float((found.path @ basis - places).abs().max()) < 1e-3
    assert float(found.shares.sum()) == pytest.approx(1, abs=1e-6)
    assert found.shares[0] > found.shares[1]
    for at, column in zip(found.at, found.path.T, strict=True):  # all of the path and the weights, and room
        extent = max(float(column.max()), 0) - min(float(column.min()), 0)
        assert float(at[-1] - at[0]) == pytest.approx(1.4 * extent)
        assert float(at[0]) < min(float(column.min()), 0)
    a, b = float(found.at[0][3]), float(found.at[1][1])
    expected = half_square(data[0][0] @ (a * basis[0] + b * basis[1]), data[0][1])
    assert float(found.losses[3, 1]) == pytest.approx(float(expected))
    by_name = loss_plane(line, half_square, data, path=[{"x": p, "more": p} for p in places], span=2.0, points=(3, 3))
    close(by_name.path, found.path)
    assert by_name.at[0].tolist() == [-2.0, 0.0, 2.0]


def test_the_plane_of_a_training_run():
    model, (inputs, targets) = mlp(), samples()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    path = [copy.deepcopy(model.state_dict())]
    for _ in range(6):
        optimizer.zero_grad()
        CROSS_ENTROPY(model(inputs), targets).backward()
        optimizer.step()
        path.append(copy.deepcopy(model.state_dict()))
    found = loss_plane(model, CROSS_ENTROPY, [(inputs, targets)], path=path, points=(2, 2))
    close(found.path[-1], [0.0, 0.0])  # where the weights stand
    assert found.directions[0]["0.bias"].any()  # of a path, all moves
    assert float(found.shares.sum()) > 0.9


def test_frozen_and_tied_weights():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 5), nn.Linear(5, 3)).double()
    model[2].weight = model[0].weight
    model[3].requires_grad_(False)
    way = {"0.weight": numbers(5, 5)}
    found = loss_along(model, CROSS_ENTROPY, [samples()], direction=way, points=2)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        moved[0].weight.add_(way["0.weight"])
    close(found.losses[1], CROSS_ENTROPY(moved(samples()[0]), samples()[1]))
    assert loss_along(model, CROSS_ENTROPY, [samples()], points=2).direction.keys() == {"0.weight"}


def test_a_loss_may_be_infinite_away_from_the_weights():
    found = loss_along(
        Line(torch.ones(1)), lambda o, t: -o.log().mean(), [(torch.ones(3, 1), torch.ones(3))],
        direction={"x": torch.ones(1)}, points=3, span=2.0,
    )  # fmt: skip
    assert torch.isnan(found.losses[0])
    assert found.losses[1:].tolist() == pytest.approx([0.0, -math.log(3)])
    found = loss_along(
        Line(torch.ones(1)), lambda o, t: -o.log().mean(), [(torch.ones(3, 1), torch.ones(3))],
        direction={"x": torch.ones(1)}, points=3, span=1.0,
    )  # fmt: skip
    assert float(found.losses[0]) == math.inf


class LooksAtSamples(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(2 * x)


def test_what_vmap_cannot_do_is_done_in_turn():
    torch.manual_seed(0)
    model, (inputs, targets) = LooksAtSamples(5, 3).double(), samples()
    data = [(inputs[i : i + 1], targets[i : i + 1]) for i in range(6)]
    found = loss_along(model, CROSS_ENTROPY, data, points=3)
    losses = torch.stack([CROSS_ENTROPY(model(x), y) for x, y in data]).detach()
    close(found.losses[1], losses.mean())
    close(found.standard_errors[1], losses.std() / 6**0.5)


def measures():
    return {
        "line": lambda *given: loss_along(*given, points=3),
        "plane": lambda *given: loss_plane(*given, points=(2, 2)),
        "sam": sam_sharpness,
    }


@pytest.mark.parametrize("name", measures())
@pytest.mark.parametrize("fails", [0, 1, 5])
def test_nothing_is_touched_even_after_an_error(name, fails):
    model, calls = mlp(nn.BatchNorm1d(6), Restless()), []
    inputs, targets = samples()
    for _ in range(2):
        CROSS_ENTROPY(model(inputs), targets).backward()
    model[1].training = False
    before, buffers = state_of(model), [(id(b), b.clone()) for b in model.buffers()]

    def loss_fn(outputs, targets):
        calls.append(1)
        if len(calls) >= fails > 0:
            raise KeyError("from the loss")
        return CROSS_ENTROPY(outputs, targets)

    loader = DataLoader(TensorDataset(inputs, targets), 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    order = loader.generator.get_state()
    measure = measures()[name]
    if fails:
        with pytest.raises(KeyError, match="from the loss"):
            measure(model, loss_fn, loader)
    else:
        measure(model, loss_fn, loader)
    weights = len(list(model.parameters()))
    assert same(state_of(model)["tensors"][:weights], before["tensors"][:weights])
    assert same(*({k: v for k, v in state.items() if k != "tensors"} for state in (state_of(model), before)))
    assert same([(id(b), b) for b in model.buffers()], buffers)
    assert torch.equal(loader.generator.get_state(), order)


def test_the_rise_along_the_gradient_in_least_squares():
    found = sam_sharpness(Line(PROBLEM.x), half_square, DATA, rho=0.3)
    gradient = PROBLEM.a.T @ (PROBLEM.a @ PROBLEM.x - PROBLEM.y) / 12
    rises = squares(PROBLEM.x + 0.3 * gradient / gradient.norm()) - squares(PROBLEM.x)
    curvature = PROBLEM.a.T @ PROBLEM.a / 12
    unit = gradient / gradient.norm()
    assert found.value == pytest.approx(0.3 * float(gradient.norm()) + 0.045 * float(unit @ curvature @ unit))
    assert found.value == pytest.approx(float(rises.mean()))
    assert found.standard_error == pytest.approx(float(rises.std()) / 12**0.5)
    assert found.loss == pytest.approx(float(squares(PROBLEM.x).mean()))
    assert found.gradient_norm == pytest.approx(float(gradient.norm()))
    assert (found.samples, found.passes) == (12, 2)


def test_without_a_gradient_nothing_rises():
    zero = Line(torch.zeros(2))
    found = sam_sharpness(zero, half_square, [(torch.eye(2), torch.zeros(2))])
    assert (found.value, found.standard_error, found.gradient_norm) == (0.0, 0.0, 0.0)


def test_the_rise_of_some_parameters():
    model, data = mlp(), [samples()]
    found = sam_sharpness(model, CROSS_ENTROPY, data, params="2.*", rho=0.1)
    model[0].requires_grad_(False)
    assert found[:4] == pytest.approx(sam_sharpness(model, CROSS_ENTROPY, data, rho=0.1)[:4])


def test_the_rise_where_the_loss_is_not_finite_is_refused():
    with pytest.raises(RuntimeError, match=r"the loss at distance rho .* must be finite, got nan: take a smaller rho"):
        sam_sharpness(
            Line(torch.ones(1)),
            lambda o, t: o.log().mean() + o.mean() ** -9,
            [(torch.ones(2, 1), torch.ones(2))],
            rho=2.0,
        )
    with pytest.raises(RuntimeError, match="the loss does not depend on any trainable parameter"):
        sam_sharpness(Line(torch.ones(1)), lambda o, t: t.mean(), [(torch.ones(2, 1), torch.ones(2))])


def total(outputs, targets):
    return nn.functional.cross_entropy(outputs, targets, reduction="sum")


ONE = {"0.weight": torch.ones(6, 5)}
REFUSED = [
    (loss_along, {"points": 1}, ValueError, "points must be at least 2, got 1"),
    (loss_along, {"span": 0.0}, ValueError, r"span must be in \(0, inf\), got 0.0"),
    (loss_along, {"normalize": "filters"}, ValueError, "normalize must be one of 'filter', 'layer', 'none'"),
    (loss_along, {"direction": torch.ones(3)}, TypeError, "direction must be a dict of tensors .* got Tensor"),
    (loss_along, {"direction": {"1.w": torch.ones(1)}}, ValueError, r"chosen trainable parameters .* got '1.w'"),
    (loss_along, {"direction": {"0.bias": torch.ones(2)}}, ValueError, r"must have shape \(6,\), got \(2,\)"),
    (loss_along, {"direction": {"0.bias": torch.zeros(6)}}, ValueError, "direction must be finite and not 0"),
    (loss_along, {"direction": {"0.bias": torch.zeros(6) / 0}}, ValueError, "direction must be finite and not 0"),
    (loss_along, {"loss_fn": total}, ValueError, "must give the mean over a batch"),
    (loss_along, {"data": []}, ValueError, "at least one sample"),
    (loss_along, {"data": [(samples()[0] / 0, samples()[1])]}, RuntimeError, "must be finite, got nan"),
    (loss_plane, {"points": 5}, TypeError, r"points must be two numbers, such as \(21, 21\), got 5"),
    (loss_plane, {"points": (3, 1)}, ValueError, r"points\[1\] must be at least 2, got 1"),
    (loss_plane, {"directions": (ONE,)}, ValueError, "directions must be two dicts of tensors"),
    (loss_plane, {"directions": (ONE, {})}, ValueError, r"directions\[1\] must be finite and not 0"),
    (loss_plane, {"path": [{}] * 3, "directions": (ONE, ONE)}, ValueError, "path gives the directions itself"),
    (loss_plane, {"path": [{}] * 3, "normalize": "filter"}, ValueError, "path gives the directions itself"),
    (loss_plane, {"path": torch.ones(3)}, TypeError, "path must be a sequence .* got Tensor"),
    (loss_plane, {"path": [torch.ones(57)] * 2}, ValueError, "path must hold at least 3 places, got 2"),
    (loss_plane, {"path": [torch.ones(57) * i for i in range(4)]}, ValueError, "path must not lie on one line"),
    (loss_plane, {"path": [torch.ones(57)] * 3}, ValueError, "path must not lie on one line"),
    (loss_plane, {"path": [torch.ones(3)] * 3}, ValueError, r"path\[0\] must have shape \(57,\), got \(3,\)"),
    (loss_plane, {"path": [{}] * 3}, ValueError, r"path\[0\] must hold all .* none named '0.weight'"),
    (loss_plane, {"path": [3.0] * 3}, TypeError, r"path\[0\] must be a state dict or a flat tensor, got float"),
    (sam_sharpness, {"rho": 0}, ValueError, r"rho must be in \(0, inf\), got 0"),
    (sam_sharpness, {"rho": "a"}, TypeError, "rho must be a float, got 'a'"),
    (sam_sharpness, {"loss_fn": total}, ValueError, "must give the mean over a batch"),
]


@pytest.mark.parametrize(("measure", "options", "error", "sentence"), REFUSED)
def test_what_cannot_be_measured_is_refused(measure, options, error, sentence):
    given = {"model": mlp(), "loss_fn": CROSS_ENTROPY, "data": [samples()], **options}
    with pytest.raises(error, match=sentence) as caught:
        measure(**given)
    assert "\n" not in str(caught.value)


def test_a_model_of_vectors_alone_has_no_random_direction_by_default():
    with pytest.raises(
        ValueError, match="two or more dimensions to move along a random direction; params='\\*' moves all"
    ):
        loss_along(Line(PROBLEM.x), half_square, DATA)
    assert loss_along(Line(PROBLEM.x), half_square, DATA, params="*", points=2).direction["x"].any()


def test_within_distributed_data_parallel(tmp_path):
    model, data = mlp(), [samples()]
    expected = loss_along(model, CROSS_ENTROPY, data, points=3), sam_sharpness(model, CROSS_ENTROPY, data)
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    try:
        wrapped = nn.parallel.DistributedDataParallel(model)
        found = loss_along(wrapped, CROSS_ENTROPY, data, points=3), sam_sharpness(wrapped, CROSS_ENTROPY, data)
    finally:
        torch.distributed.destroy_process_group()
    assert same(found[0][:4], expected[0][:4])
    assert found[1][:4] == pytest.approx(expected[1][:4])

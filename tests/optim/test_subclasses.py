"""A class that extends the family overrides one method, and every path asks it."""

import pytest
import torch
from torch import nn

from steepest import SNGM
from steepest.optim import ScaledSGD
from steepest.optim.norms import reciprocal

PATHS = {"default": {}, "foreach": {"foreach": True}, "loop": {"foreach": False}}
every_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


class Halved(ScaledSGD):
    def scale(self, group, norms):
        return 0.5


class OverTheNorm(ScaledSGD):
    def scale(self, group, norms):
        return reciprocal(norms.grad)


class Child(OverTheNorm):
    """Overrides nothing."""


class Mixin:
    def scale(self, group, norms):
        return 2.0


class Mixed(Mixin, ScaledSGD):
    pass


class Switched(OverTheNorm):
    normalizes = False


class ChildOfSwitched(Switched):
    pass


class OnAgain(ChildOfSwitched):
    def scale(self, group, norms):
        return 3.0


class PerRow(ScaledSGD):
    def step_scale(self, param, group):
        return torch.full((param.shape[0], 1), 0.25, dtype=param.dtype, device=param.device)


class Prepared(ScaledSGD):
    """Its scale is what `prepare` counted."""

    calls = 0

    def prepare(self, blocks):
        self.calls += 1
        self.parameters = sum(map(len, blocks))

    def scale(self, group, norms):
        return 1.0 * self.parameters


EXPECTED = {
    Halved: 0.5,
    OverTheNorm: 1 / 6,  # the gradient is 2 in each of 9 places
    Child: 1 / 6,
    Mixed: 2.0,
    Switched: 1.0,
    ChildOfSwitched: 1.0,
    OnAgain: 3.0,
    PerRow: 0.25,
    Prepared: 1.0,
}


@every_path
@pytest.mark.parametrize("make", EXPECTED, ids=lambda make: make.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_a_class_overrides_is_asked(make, path, dtype):
    p = nn.Parameter(torch.zeros(3, 3, dtype=dtype))
    p.grad = torch.full_like(p, 2)
    make([p], lr=1.0, momentum=0.0, **path).step()
    expected = torch.full_like(p, -2 * EXPECTED[make])
    torch.testing.assert_close(p.detach(), expected)


@every_path
def test_prepare_is_called_once_a_step(path):
    p = nn.Parameter(torch.zeros(3))
    optimizer = Prepared([p], lr=1.0, **path)
    for _ in range(3):
        p.grad = torch.ones(3)
        optimizer.step()
    assert optimizer.calls == 3


def test_the_fused_path_is_refused_to_a_class_that_scales_its_steps():
    with pytest.raises(ValueError, match="fused=True does not serve PerRow"):
        PerRow([nn.Parameter(torch.zeros(3, 3))], lr=1.0, fused=True)


def test_the_flags_say_what_a_class_overrides():
    assert (ScaledSGD.normalizes, SNGM.normalizes, Halved.normalizes, PerRow.normalizes) == (False, True, True, False)
    assert (ScaledSGD.has_step_scales, SNGM.has_step_scales, PerRow.has_step_scales) == (False, False, True)

"""Hooks that all optimizers have are looked at by tests: what an earlier test of the same process left in a cycle goes
first."""

import gc

import pytest
from torch.optim import optimizer as torch_optimizer


@pytest.fixture(autouse=True)
def _hooks_of_earlier_tests_are_gone():
    if torch_optimizer._global_optimizer_pre_hooks:
        gc.collect()

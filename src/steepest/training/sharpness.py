"""The sharpness of the loss at the end of a run."""

import torch
from torch import Tensor, nn

from steepest.data.splits import Split
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.training.definitions.workload import Workload

SHARPNESS_SAMPLES = 2000


SHARPNESS_BATCH = 250  # a graph that is differentiated twice is kept for each


def measure_sharpness(
    workload: Workload, model: nn.Module, split: Split, samples: int
) -> tuple[float | None, str | None]:
    """Largest eigenvalue of the Hessian of the loss over ``samples`` of a split, and what is amiss with it."""
    try:
        found = largest_hessian_eigenvalue(model, workload.loss, batches_for_sharpness(split, samples))
    except RuntimeError as error:  # a loss that is not smooth there: no reason to lose the run
        return None, str(error)
    if not found.converged:
        return found.value, f"not converged after {found.iterations} iterations, residual {found.residual:.2g}"
    return found.value, None


def batches_for_sharpness(split: Split, samples: int) -> list[tuple[Tensor, Tensor]]:
    """So many samples of a split, always the same: drawn at random, since data may come sorted by class."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:samples].to(split.inputs.device)
    return [(split.inputs[chunk], split.targets[chunk]) for chunk in torch.split(order, SHARPNESS_BATCH)]

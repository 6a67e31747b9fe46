"""The sharpness of the loss at the end of a run."""

import torch
from torch import Tensor

from steepest.data.splits import Split, Splits
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.workload import Workload

SAMPLES = 2000
BATCH = 250  # a graph that is differentiated twice is kept for each


def batches_of(split: Split, samples: int) -> list[tuple[Tensor, Tensor]]:
    """So many samples of a split, always the same: drawn at random, since data may come sorted by class."""
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))[:samples].to(split.inputs.device)
    return [(split.inputs[chunk], split.targets[chunk]) for chunk in torch.split(order, BATCH)]


def _measure(view: RunView) -> Reading:
    try:
        found = largest_hessian_eigenvalue(view.model, view.workload.loss, batches_of(view.splits.train, SAMPLES))
    except RuntimeError as error:  # a loss that is not smooth there
        return Reading(None, str(error))
    if not found.converged:
        return Reading(found.value, f"not converged after {found.iterations} iterations, residual {found.residual:.2g}")
    return Reading(found.value)


def _check(workload: Workload, splits: Splits) -> None:
    """Check that the loss has a second derivative, which is better known before the first run than after the last."""
    largest_hessian_eigenvalue(workload.model(), workload.loss, batches_of(splits.train, 2), iterations=1)


def caption_of(used: int, there: int) -> str:
    """What a report says of it; ``used`` of ``there`` training samples were."""
    samples = f"all {there:,} training samples" if used == there else f"the same {used:,} of {there:,} training samples"
    return (
        f"Sharpness: the largest eigenvalue of the Hessian of the loss at the final weights, over {samples}; "
        f"median and range over the seeds. Lower is flatter; it also changes as training goes on. It costs no budget."
    )


def _caption(workload: Workload, splits: Splits) -> str:
    return caption_of(min(SAMPLES, len(splits.train)), len(splits.train))


SHARPNESS = Instrument(
    "sharpness",
    _measure,
    label="Sharpness",
    description="the largest Hessian eigenvalue of the training loss at the end of a final run",
    caption=_caption,
    check=_check,
)

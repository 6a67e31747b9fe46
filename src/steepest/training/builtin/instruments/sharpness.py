"""The sharpness of the loss at the end of a run."""

from steepest.data.splits import Splits
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.training.builtin.instruments.samples import batches_of, say_samples
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.workload import Workload

SAMPLES = 2000


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
    return (
        "Sharpness: the largest eigenvalue of the Hessian of the loss at the final weights, over "
        f"{say_samples(used, there)}; median and range over the seeds. Lower is flatter; it also changes as training "
        "goes on. It costs no budget."
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

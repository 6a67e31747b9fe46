"""The largest eigenvalue of the Hessian as a run goes on."""

from steepest.data.splits import Splits
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.training.builtin.instruments.samples import batches_of, say_samples
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.workload import Workload

SAMPLES = 250
TOLERANCE = 1e-2
ITERATIONS = 40


def _measure(view: RunView) -> Reading:
    data = batches_of(view.splits.train, SAMPLES)
    found = largest_hessian_eigenvalue(view.model, view.workload.loss, data, tolerance=TOLERANCE, iterations=ITERATIONS)
    return Reading(found.value, None if found.converged else f"at times not converged after {ITERATIONS} iterations")


def _check(workload: Workload, splits: Splits) -> None:
    """Check that the loss has a second derivative, which is better known before the first run than after the last."""
    largest_hessian_eigenvalue(workload.model(), workload.loss, batches_of(splits.train, 2), iterations=1)


def _caption(workload: Workload, splits: Splits) -> str:
    return (
        f"Largest Hessian eigenvalue of the loss, over {say_samples(SAMPLES, len(splits.train))}: the curvature along "
        "the sharpest direction. Plain gradient descent is stable where it is below 2 / lr."
    )


TOP_EIGENVALUE = Instrument(
    "top-eigenvalue",
    _measure,
    when="validation",
    label="Largest Hessian eigenvalue",
    description="the largest Hessian eigenvalue of the training loss, after every validation",
    caption=_caption,
    check=_check,
)

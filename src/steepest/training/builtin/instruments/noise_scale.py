"""The gradient noise scale as a run goes on."""

from steepest.data.splits import Splits
from steepest.diagnostics.noise_scale import gradient_noise_scale
from steepest.training.builtin.instruments.samples import batches_of, say_samples
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.workload import Workload

SAMPLES = 4096
BATCH = 128


def _measure(view: RunView) -> Reading:
    found = gradient_noise_scale(view.model, view.workload.loss, batches_of(view.splits.train, SAMPLES, BATCH))
    if found.note:
        return Reading(None, f"at times the signal was too weak for {found.samples:,} samples")
    return Reading(found.value)


def _check(workload: Workload, splits: Splits) -> None:
    gradient_noise_scale(workload.model(), workload.loss, batches_of(splits.train, 8))


def _caption(workload: Workload, splits: Splits) -> str:
    return (
        "Gradient noise scale: the batch size, in samples, at which a gradient is noise and signal in equal parts, "
        f"over {say_samples(SAMPLES, len(splits.train))}. Far below it, twice the batch is nearly twice the progress a "
        "step."
    )


NOISE_SCALE = Instrument(
    "noise-scale",
    _measure,
    when="validation",
    label="Gradient noise scale",
    description="the batch size at which noise and signal of a gradient are equal, after every validation",
    caption=_caption,
    check=_check,
)

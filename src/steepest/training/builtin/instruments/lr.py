"""The learning rate as a run goes on."""

import statistics

from steepest.training.definitions.instrument import Instrument, RunView


def _mean_lr(view: RunView) -> float:
    return statistics.fmean(float(group["lr"]) for group in view.optimizer.param_groups)


LR = Instrument(
    "lr",
    _mean_lr,
    when="validation",
    label="Learning rate",
    description="the learning rate after every validation, the mean over the optimizer's groups of parameters",
    caption=lambda workload, splits: (
        "Learning rate: that of the last step before each validation, the mean over the "
        "optimizer's groups of parameters. Those of different methods have different units."
    ),
    in_search=True,
    whole_weights=False,
)

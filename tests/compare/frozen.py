"""A comparison's frozen spec, as tests ask for it: one workload at one batch size."""

from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import ALL, Request


def freeze(workload, methods, *, data_dir=None, **options):
    """``epochs`` and ``batch_size`` are numbers; the other options are those of :class:`Request`."""
    for flag, key in (("epochs", "epochs"), ("batch_size", "batch_sizes")):
        if options.get(flag) is not None:
            options[key] = {ALL: options[flag] if key == flag else [options.pop(flag)]}
    return freeze_study(Request([workload], methods, **options), data_dir).comparisons[0]

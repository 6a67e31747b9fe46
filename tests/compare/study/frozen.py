"""A comparison's frozen spec, as tests ask for it: one workload at one batch size."""

from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from steepest.compare.study.values import ALL


def freeze(workload, methods, *, data_dir=None, **options):
    """``epochs`` and ``batch_size`` are numbers; the other options are those of :class:`Request`."""
    for name, value in (("epochs", lambda number: number), ("batch_size", lambda number: [number])):
        if options.get(name) is not None:
            options[name] = {ALL: value(options[name])}
    return freeze_study(Request([workload], methods, **options), data_dir).comparisons[0]

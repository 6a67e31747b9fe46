"""Trackers that people keep their runs in: Weights & Biases, MLflow, Trackio."""

from steepest._errors import check_extra
from steepest.compare.results.trackers.base import Store, Tracker


def check_tracker(name: str) -> None:
    """Make sure that a tracker's package is installed, without importing it.

    Args:
        name: one of :data:`~steepest.compare.names.TRACKERS`, which is the package's and the extra's as well.

    Raises:
        MissingExtraError: it is not.
    """
    check_extra(name, name)


def make_tracker(name: str) -> Tracker:
    """The callbacks of a tracker; its package is imported when the first run is entered."""
    return Tracker(name, _STORES[name])


def _wandb() -> Store:
    from steepest.compare.results.trackers.wandb_runs import WandbStore

    return WandbStore()


def _mlflow() -> Store:
    from steepest.compare.results.trackers.mlflow_runs import MlflowStore

    return MlflowStore()


def _trackio() -> Store:
    from steepest.compare.results.trackers.trackio_runs import TrackioStore

    return TrackioStore()


_STORES = {"wandb": _wandb, "mlflow": _mlflow, "trackio": _trackio}

"""A LightningModule and its data as a workload."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from steepest._errors import InputError
from steepest.training.definitions.workload import Workload


class Logged:
    """What a step has logged since it was last emptied."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}

    def log(self, name: str, value: Any, *args: Any, **options: Any) -> None:
        """In the place of :meth:`LightningModule.log`."""
        if callable(getattr(value, "compute", None)):
            raise InputError(
                f"{name!r} is logged as a metric object, whose value over a split is no mean over batches; log a "
                "number, or give from_lightning metrics"
            )
        self.values[name] = value

    def log_dict(self, values: Mapping[str, Any], *args: Any, **options: Any) -> None:
        """In the place of :meth:`LightningModule.log_dict`."""
        for name, value in values.items():
            self.log(name, value)


def workload_from_lightning(
    module: Callable[[], nn.Module], datamodule: Any, *, name: str, loss_name: str, metric_name: str, **options: Any
) -> Workload:
    """What :meth:`Workload.from_lightning` makes."""
    train = _Data(datamodule).loaders()[0]
    if getattr(train, "batch_size", None) is not None:
        options.setdefault("batch_size", train.batch_size)
    return Workload(
        name,
        data=_Data(datamodule),
        model=_Module(module),
        training_step=training_step,
        evaluation_step=_Evaluation(loss_name),
        metric_name=metric_name,
        **options,
    )


class _Module:
    """Build the module, and let it log to us."""

    def __init__(self, module: Callable[[], nn.Module]) -> None:
        self._build = module

    def __call__(self) -> nn.Module:
        found: Any = self._build()
        for name in ("training_step", "validation_step"):
            if not callable(getattr(found, name, None)):
                raise InputError(f"{type(found).__name__} must have a {name}, as Lightning's modules have")
        if not getattr(found, "automatic_optimization", True):
            raise InputError(f"{type(found).__name__} steps its optimizers itself, and a study brings its own")
        logged = Logged()
        found.log, found.log_dict, found.logged = logged.log, logged.log_dict, logged
        return found  # type: ignore[no-any-return]


class _Data:
    """Ask a data module for its three parts."""

    def __init__(self, datamodule: Any) -> None:
        self._given = datamodule

    def __call__(self, folder: Path | None) -> list[Any]:
        return self.loaders()

    def loaders(self) -> list[Any]:
        found = self._given() if callable(self._given) else self._given
        found.prepare_data()
        for stage in ("fit", "test"):
            found.setup(stage)
        return [found.train_dataloader(), found.val_dataloader(), found.test_dataloader()]


def training_step(model: nn.Module, batch: Any) -> Tensor:
    """Lightning's, with the number 0 for the batch's; it may return the loss or a mapping with it."""
    module: Any = getattr(model, "module", model)  # within DistributedDataParallel
    found = module.training_step(batch, 0)
    module.logged.values.clear()
    return found["loss"] if isinstance(found, Mapping) else found  # type: ignore[no-any-return]


class _Evaluation:
    """Take what a validation step logs."""

    def __init__(self, loss_name: str) -> None:
        self._loss_name = loss_name

    def __call__(self, model: nn.Module, batch: Any) -> dict[str, Any]:
        module: Any = getattr(model, "module", model)
        module.logged.values.clear()
        returned = module.validation_step(batch, 0)
        found = dict(module.logged.values)
        if isinstance(returned, Mapping):
            found |= returned
        if self._loss_name in found:
            found["loss"] = found.pop(self._loss_name)
        elif isinstance(returned, Tensor):
            found["loss"] = returned
        return found

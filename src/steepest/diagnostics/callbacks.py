"""A :class:`Watch` as a callback of other libraries' trainers."""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from steepest.diagnostics.watch import Watch


def make_lightning_callback(watch: "Watch") -> Any:
    """A callback of ``lightning``, or of ``pytorch_lightning`` where that is what is installed."""
    package = "lightning.pytorch" if importlib.util.find_spec("lightning") is not None else "pytorch_lightning"
    base: Any = importlib.import_module(f"{package}.callbacks").Callback

    class WatchCallback(base):  # type: ignore[misc]
        """Tell a watch of every optimizer step."""

        def __init__(self) -> None:
            self._seen = 0

        def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            if trainer.global_step > self._seen:  # with accumulated gradients not every batch ends in a step
                self._seen = trainer.global_step
                watch.step(batch)

        def on_fit_end(self, trainer: Any, pl_module: Any) -> None:
            watch.close()

    return WatchCallback()


def make_transformers_callback(watch: "Watch") -> Any:
    """A callback of ``transformers``."""
    base: Any = importlib.import_module("transformers").TrainerCallback

    class WatchCallback(base):  # type: ignore[misc]
        """Tell a watch of every optimizer step."""

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.take_from(kwargs.get("train_dataloader"))
            watch.step()

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            watch.close()

    return WatchCallback()

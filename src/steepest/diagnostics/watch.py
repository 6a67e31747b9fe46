"""The instruments in a user's own loop: every so many steps, into a file of JSON lines and to TensorBoard."""

import json
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import nn
from torch.optim import Optimizer

from steepest._errors import require
from steepest._kept import random_numbers_kept
from steepest.diagnostics.quantities import Quantity, numbers_of, quantities_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, whole
from steepest.diagnostics.updates import Updates

DEFAULT = ("gradient_norm", "noise_scale", "largest_hessian_eigenvalue")
UPDATES = "update_ratio"


class Watch:
    """Measures a model every so many steps of any training loop; the loop and its numbers stay what they are.

    Call :meth:`step` after the optimizer's step. Where it is time, the chosen quantities are measured in evaluation
    mode and written down. Nothing asks for ``create_graph`` in the loop's own backward pass, ``.grad`` is not touched,
    no random number is drawn that the loop would see, and an instrument that fails costs its value, not the run.

    Args:
        model: the module that trains. In ``DistributedDataParallel`` all ranks call :meth:`step` alike, and the first
            one writes.
        loss_fn: called as ``loss_fn(outputs, targets)``; the mean over the batch.
        every: steps between two measurements; ``None``: only :meth:`measure` measures.
        data: batches to measure on, as for :func:`gradient_noise_scale`, always the same ones. Without it the last
            ``keep`` batches that :meth:`step` was given.
        quantities: names among ``Watch.NAMES``, or a mapping of names to functions of model, loss function and data
            that return a number, a dict or what an instrument returns. ``"update_ratio"`` needs ``optimizer``: in each
            layer the norm of the last step over the norm of the weights.
        params: which trainable parameters count, as for :func:`gradient_noise_scale`.
        optimizer: whose steps ``"update_ratio"`` measures.
        path: a file that gets a line of JSON for each measurement; ``None``: no file. A file that is there is gone on
            with.
        tensorboard: a folder for TensorBoard's event files, or a ``SummaryWriter``.
        keep: batches that are kept where there are no ``data``.

    Raises:
        TypeError, ValueError: an argument is not what it must be.
        MissingExtraError: TensorBoard or SciPy is asked for and not installed.

    Example:
        >>> import torch
        >>> model = nn.Linear(4, 2)
        >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        >>> watch = Watch(model, nn.CrossEntropyLoss(), every=10, quantities=["gradient_norm"])
        >>> for step in range(20):
        ...     inputs, targets = torch.randn(8, 4), torch.randint(0, 2, (8,))
        ...     optimizer.zero_grad()
        ...     nn.functional.cross_entropy(model(inputs), targets).backward()
        ...     optimizer.step()
        ...     seen = watch.step((inputs, targets))
        >>> [line["step"] for line in watch.lines], seen["gradient_norm"]["samples"]
        ([10, 20], 64)
    """

    NAMES = (*quantities_of(None), UPDATES)

    def __init__(
        self,
        model: nn.Module,
        loss_fn: LossFunction,
        *,
        every: int | None = 100,
        data: Iterable[object] | None = None,
        quantities: Sequence[str] | Mapping[str, Quantity] = DEFAULT,
        params: Filter | None = None,
        optimizer: Optimizer | None = None,
        path: str | Path | None = None,
        tensorboard: Any = None,
        keep: int = 8,
    ) -> None:
        subject = Subject(model, loss_fn, [] if data is None else data, params)
        self._model, self._loss_fn, self._data = model, loss_fn, data
        self._every = None if every is None else whole("every", every, 1)
        self._quantities = _choose(quantities, params)
        self._updates: Updates | None = None
        if UPDATES in self._quantities:
            if not isinstance(optimizer, Optimizer):
                raise TypeError(f"quantity {UPDATES!r} needs optimizer, a torch.optim.Optimizer, got {optimizer!r}")
            self._updates = Updates(subject.params, optimizer, self._is_next)
            self._quantities[UPDATES] = self._updates.measure
        self._kept: deque[Any] = deque(maxlen=whole("keep", keep, 1))
        self._writes = not (dist.is_available() and dist.is_initialized()) or dist.get_rank() == 0
        self._path = None if path is None else Path(path)
        self._writer = _open_writer(tensorboard) if tensorboard is not None and self._writes else None
        self._started = time.perf_counter()
        self.steps = 0
        """So far."""
        self.lines: list[dict[str, Any]] = []
        """What has been measured, as it is written down: ``step``, ``seconds``, and each quantity's numbers by name."""

    def step(self, batch: object = None) -> dict[str, Any] | None:
        """A step has been taken, with this batch; returns what was measured, if it was time.

        Args:
            batch: as in ``data``, for where there are none: it is kept, not copied.
        """
        self.steps += 1
        if batch is not None and self._data is None:
            self._kept.append(batch)
        return self.measure() if self._every is not None and self.steps % self._every == 0 else None

    def measure(self) -> dict[str, Any]:
        """Measure now; returns what is written down."""
        data: Any = list(self._kept) if self._data is None else self._data
        line: dict[str, Any] = {"step": self.steps, "seconds": round(time.perf_counter() - self._started, 3)}
        for name, quantity in self._quantities.items():
            try:
                if name != UPDATES and self._data is None and not data:
                    raise ValueError("there are no samples: give Watch its data, or step() its batch")
                with torch.enable_grad():
                    line[name] = numbers_of(quantity(self._model, self._loss_fn, data))
            except Exception as error:  # no reason to lose the run
                line[name] = {"error": f"{type(error).__name__}: {error}"}
        self.lines.append(line)
        self._write(line)
        return line

    def take_from(self, loader: Iterable[object] | None) -> None:
        """Keep the first batches of a loader, where there is nothing else to measure on; its order stays the same."""
        if loader is not None and self._data is None and not self._kept:
            with random_numbers_kept((), loader):
                self._kept.extend(islice(loader, self._kept.maxlen))

    def _is_next(self) -> bool:
        """Tell whether the step that is being taken will be measured."""
        return self._every is None or (self.steps + 1) % self._every == 0

    def _write(self, line: Mapping[str, Any]) -> None:
        if not self._writes:
            return
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if self._writer is not None:
            for name, numbers in line.items():
                for key, value in numbers.items() if isinstance(numbers, Mapping) else ():
                    if isinstance(value, float) or (key == "value" and value is not None):
                        self._writer.add_scalar(name if key == "value" else f"{name}/{key}", value, line["step"])
            self._writer.flush()

    def lightning_callback(self) -> Any:
        """A callback for Lightning's ``Trainer(callbacks=[...])``: calls :meth:`step` after every optimizer step.

        With ``"update_ratio"`` give :class:`Watch` the optimizer that ``configure_optimizers`` returns.

        Raises:
            ModuleNotFoundError: neither ``lightning`` nor ``pytorch_lightning`` is installed.
        """
        from steepest.diagnostics.callbacks import make_lightning_callback

        return make_lightning_callback(self)

    def transformers_callback(self) -> Any:
        """A callback for Hugging Face's ``Trainer(callbacks=[...])``: calls :meth:`step` after every optimizer step.

        The trainer shows it no batches: without ``data`` it takes the first ``keep`` of the trainer's own.

        Raises:
            ModuleNotFoundError: ``transformers`` is not installed.
        """
        from steepest.diagnostics.callbacks import make_transformers_callback

        return make_transformers_callback(self)

    def close(self) -> None:
        """Take the hooks off and close what is open."""
        if self._updates is not None:
            self._updates.remove()
        if self._writer is not None:
            self._writer.close()


def _choose(quantities: Sequence[str] | Mapping[str, Quantity], params: Filter | None) -> dict[str, Quantity]:
    if isinstance(quantities, Mapping):
        if bad := [name for name, function in quantities.items() if not callable(function)]:
            raise TypeError(f"quantities must be functions of model, loss_fn and data, got {quantities[bad[0]]!r}")
        return dict(quantities)
    there: dict[str, Any] = {**quantities_of(params), UPDATES: None}  # that is put in its place once it has its hooks
    names = [quantities] if isinstance(quantities, str) else list(quantities)
    if unknown := [name for name in names if name not in there]:
        raise ValueError(f"quantities must be among {', '.join(there)}, got {unknown[0]!r}")
    return {name: there[name] for name in names}


def _open_writer(tensorboard: Any) -> Any:
    if not isinstance(tensorboard, str | Path):
        return tensorboard
    require("tensorboard", "tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(tensorboard))

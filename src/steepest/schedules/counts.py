"""How often each class was predicted as each other, counted while a network trains."""

from collections.abc import Iterable
from typing import Any, Self

import torch
import torch.distributed as dist
from torch import Tensor, nn

from steepest.optim.arguments import check_integer
from steepest.schedules.codes import LayerCodes


class ConfusionCounts:
    r"""Counts of true class (rows) by predicted class (columns), as in scikit-learn's ``confusion_matrix``.

    They lie on the device of the logits, in int64, and :meth:`update` never waits for it. With ``model`` hooks on its
    layers keep what each says of a batch, the unit whose output is the largest (of a convolution the channel, after
    the mean over all positions; of an output for several positions of one target, after their mean), and every layer
    has a table of its own. They watch in training mode with gradients only; :meth:`remove` takes them away, as does the
    end of a ``with`` block.

    Where ``torch.distributed`` is initialised, the tables are summed over all ranks when they are read: every rank must
    read them. What was counted stays as it was, so that reading twice adds nothing.

    Args:
        classes: their number, at least 2; from the first logits, if ``None``.
        model: whose layers are counted too.
        layers: names of modules of ``model``; every module with a weight of two or more dimensions, if ``None``.
        ignore_index: targets of this value are passed over, as by ``torch.nn.CrossEntropyLoss``.

    Raises:
        TypeError: ``model`` is no module, or ``layers`` is a string.
        ValueError: ``classes`` is below 2, a layer is not there, or ``layers`` are given without ``model``.

    Example:
        >>> seen = ConfusionCounts(2)
        >>> logits = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
        >>> seen.update(logits, torch.tensor([0, 1, 1]))
        >>> seen.table()
        tensor([[1, 0],
                [1, 1]])
    """

    def __init__(
        self,
        classes: int | None,
        *,
        model: nn.Module | None = None,
        layers: Iterable[str] | None = None,
        ignore_index: int | None = None,
    ) -> None:
        if classes is not None:
            check_integer("classes", classes, "an integer of at least 2, or None")
            if classes < 2:
                raise ValueError(f"classes must be an integer of at least 2, or None, got {classes}")
        if ignore_index is not None:
            check_integer("ignore_index", ignore_index, "an integer or None")
        if model is None and layers is not None:
            raise ValueError("layers are names of modules of a model, and no model is given; pass model too")
        self._given = classes
        self._ignored = ignore_index
        self._codes = None if model is None else LayerCodes(model, layers)
        self.reset()

    def reset(self) -> None:
        """Begin anew, at nothing counted."""
        self._classes = self._given
        self._counts: Tensor | None = None  # classes * classes, and one for targets out of range
        self._layers: dict[str, Tensor] = {}  # of each (classes + 1, units), the last row for those

    def update(self, logits: Tensor, targets: Tensor) -> None:
        """Count a batch; with ``model``, right after its forward pass in training mode.

        Args:
            logits: scores whose largest is the prediction: (N, C) with targets (N,), (N, ..., C) with targets
                (N, ...), or as torch's losses have them, (N, C, ...) with targets (N, ...).
            targets: class numbers from 0, of any integer type. One that is out of range is reported when the table is
                read.

        Raises:
            TypeError: the logits are no tensor of floats, or the targets no tensor of integers.
            ValueError: the shapes do not match, or match in two ways; the device is another one than before; a layer
                has been run for other samples, or none has.
        """
        dim = self._find_class_dimension(logits, targets)
        self._check_device(logits)
        with torch.no_grad():
            spoken = {} if self._codes is None else self._codes.take(tuple(targets.shape))
            self._check_units(spoken)
            classes = self._classes = logits.shape[dim]
            truth = targets.detach().reshape(-1).to(torch.int64)
            ones = torch.ones_like(truth) if self._ignored is None else (truth != self._ignored).to(torch.int64)
            rows = torch.where((truth >= 0) & (truth < classes), truth, classes)
            if self._counts is None:
                self._counts = ones.new_zeros(classes**2 + 1)
            predicted = logits.detach().argmax(dim).reshape(-1)
            self._counts.scatter_add_(0, (rows * classes + predicted).clamp(max=classes**2), ones)
            for name, (code, units) in spoken.items():
                if name not in self._layers:
                    self._layers[name] = ones.new_zeros(classes + 1, units)
                self._layers[name].view(-1).scatter_add_(0, rows * units + code.reshape(-1), ones)

    def table(self) -> Tensor:
        """Counts (C, C) of true class by predicted class, int64, summed over the ranks.

        Raises:
            ValueError: a target was out of range, or nothing has said how many classes there are.
        """
        return self._read(with_layers=False)[0]

    def tables(self) -> dict[str, Tensor]:
        """Counts (C, units) of true class by a layer's code, by the layer's name, int64, summed over the ranks.

        A layer that has never been run is left out.

        Raises:
            ValueError: no model is watched, a target was out of range, or nothing has been counted.
        """
        if self._codes is None:
            raise ValueError("there is a table of every layer only with a model: ConfusionCounts(classes, model=model)")
        return self._read(with_layers=True)[1]

    def state_dict(self) -> dict[str, Any]:
        """What this rank has counted, as tensors and numbers."""
        return {
            "classes": self._classes,
            "counts": None if self._counts is None else self._counts.clone(),
            "layers": {name: counts.clone() for name, counts in self._layers.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, on the device where that lies.

        Raises:
            ValueError: it is of another number of classes, or of layers that are not watched.
        """
        if self._given not in (None, state["classes"]):
            raise ValueError(f"the state has counts of {state['classes']} classes, and classes is {self._given}")
        if unknown := sorted(set(state["layers"]) - set(self.layers)):
            raise ValueError(f"the state has counts of layer {unknown[0]!r}, and the layers are {self.layers}")
        self._classes = state["classes"]
        self._counts = None if state["counts"] is None else state["counts"].clone()
        self._layers = {name: counts.clone() for name, counts in state["layers"].items()}

    def remove(self) -> None:
        """Take the hooks from the model; what was counted stays, and can be read."""
        if self._codes is not None:
            self._codes.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()

    @property
    def layers(self) -> list[str]:
        """Names of the layers that are watched; empty without a model."""
        return [] if self._codes is None else list(self._codes.names)

    def _find_class_dimension(self, logits: Tensor, targets: Tensor) -> int:
        for name, value in (("logits", logits), ("targets", targets)):
            if not isinstance(value, Tensor):
                raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
        if not logits.is_floating_point():
            raise TypeError(f"logits must be floats, a score for every class, got {logits.dtype}")
        if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
            raise TypeError(f"targets must be integers, the numbers of classes, got {targets.dtype}")
        found = []
        if logits.dim() == targets.dim() + 1 >= 2:
            for dim in sorted({1, logits.dim() - 1}):
                others = logits.shape[:dim] + logits.shape[dim + 1 :]
                if others == targets.shape and logits.shape[dim] == (self._classes or logits.shape[dim]):
                    found.append(dim)
        shapes = f"got logits {tuple(logits.shape)} and targets {tuple(targets.shape)}"
        if not found:
            raise ValueError(
                f"logits must be (N, {self._classes or 'C'}), (N, ..., {self._classes or 'C'}) or "
                f"(N, {self._classes or 'C'}, ...) with targets (N, ...), {shapes}"
            )
        if len(found) > 1:
            raise ValueError(f"which dimension of the logits is the classes' cannot be told, {shapes}; flatten both")
        if logits.shape[found[0]] < 2:
            raise ValueError(f"logits must have a score for 2 classes or more, {shapes}")
        return found[0]

    def _check_device(self, logits: Tensor) -> None:
        if self._counts is not None and self._counts.device != logits.device:
            raise ValueError(f"what is counted lies on {self._counts.device}, and the logits on {logits.device}")

    def _check_units(self, spoken: dict[str, tuple[Tensor, int]]) -> None:
        for name, (_, units) in spoken.items():
            if name in self._layers and self._layers[name].shape[1] != units:
                raise ValueError(f"layer {name!r} had {self._layers[name].shape[1]} units and now has {units}")

    def _read(self, *, with_layers: bool) -> tuple[Tensor, dict[str, Tensor]]:
        names = self.layers if with_layers else []
        together = dist.is_available() and dist.is_initialized()
        device = _own_device(together) if self._counts is None else self._counts.device
        sizes = [self._classes or 0, *(self._layers[name].shape[1] if name in self._layers else 0 for name in names)]
        if together and (names or self._given is None):
            asked = torch.tensor(sizes, dtype=torch.int64, device=device)
            dist.all_reduce(asked, dist.ReduceOp.MAX)
            sizes = asked.tolist()
        classes, *units = sizes
        if classes == 0:
            raise ValueError("nothing has been counted, and classes is None: call update first, or pass classes")
        shapes = {name: (classes + 1, size) for name, size in zip(names, units, strict=True) if size}
        own = [self._counts, *(self._layers.get(name) for name in shapes)]
        lengths = [classes**2 + 1, *(rows * size for rows, size in shapes.values())]
        whole = torch.cat(
            [
                torch.zeros(length, dtype=torch.int64, device=device) if counts is None else counts.reshape(-1)
                for counts, length in zip(own, lengths, strict=True)
            ]
        )
        if together:
            dist.all_reduce(whole)
        counts, *layers = torch.split(whole, lengths)
        if outside := int(counts[-1]):
            raise ValueError(f"targets lie outside the class numbers 0 to {classes - 1}: {outside} of them")
        tables = {name: part.view(shape)[:-1] for part, (name, shape) in zip(layers, shapes.items(), strict=True)}
        return counts[:-1].view(classes, classes), tables


def _own_device(together: bool) -> torch.device:
    """Find where this rank can take part in a sum, if it has counted nothing."""
    if together and dist.get_backend() == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")

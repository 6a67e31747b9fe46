"""A learning rate that falls as the network's predictions tell more of the true classes."""

import sys
from typing import Any, Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from steepest.optim.arguments import check_choice, check_flag, check_integer, check_number
from steepest.schedules.bounds import Bound, Bounds
from steepest.schedules.counts import ConfusionCounts
from steepest.schedules.information import Correction, check_table, measured

_SAVED = ("last_epoch", "last_information", "last_q", "last_layer_information", "last_layer_q", "_last_lr")
_TINY = sys.float_info.min


class MutualInformationLR(LRScheduler):
    r"""A learning rate that never rises, driven by the mutual information of predictions and true classes.

    Once an epoch :meth:`step` is given the epoch's counts of true by predicted class. A **reconstruction**: the paper's
    own formula, estimator and thresholds could not be had, and this is our reading of what is said of them.

    .. code-block:: text

        I = mutual information of the counts, in nats     q = I / H(Y), in [0, 1], H(Y) of the true classes
        once an epoch, from the second on:
            if |I - I_before| / I_before < threshold:     the network has learnt what it can at this lr
                lr = min(lr, lr_min + (lr_max - lr_min) (1 - q))          interpolate="log": lr_max^(1-q) lr_min^q

    So one lr is explored until the information settles; then the lr falls to where ``q`` puts it: ``lr_max`` where
    nothing is told of the classes, ``lr_min`` where all is. ``last_q`` after a step is that share, and
    ``last_information`` the nats; both are ``None`` before the first one.

    **Unit of lr**: the optimizer's. **Start**: ``lr_max`` as found by a range test or a search, ``lr_min`` a
    thousandth of it. **When not**: where the counts of an epoch are few. The plug-in estimate is too large by about
    ``(C - 1)^2 / 2n`` nats for ``C`` classes and ``n`` samples, which lowers the lr too early:
    ``correction="miller-madow"`` takes most of it away. A first epoch that is noisy can freeze the lr low:
    ``warmup_epochs``.

    With ``layer_wise=True`` every group of parameters moves by the ``q`` of its own layer, whose name it holds as
    ``"layer"``: see :func:`layer_groups`, and pass counts that were made with ``model=``. A layer's code is coarse, so
    ``q`` need not grow with depth. A group whose layer has not been run keeps its lr. ``last_layer_q`` and
    ``last_layer_information`` hold the numbers by layer.

    As with torch's ``ReduceLROnPlateau``, make the scheduler before the optimizer's state is loaded, and save
    :meth:`state_dict` beside it. A group that is added later moves within the same bounds, from the lr that it was
    added with; where bounds are lists, append to ``bounds.lr_min`` and ``bounds.lr_max``.

    Args:
        optimizer: its groups' lr is set to ``start_lr`` at once; lr tensors are filled in place.
        lr_min: lowest lr, above 0; a number, or one for each group.
        lr_max: highest lr, above ``lr_min``; a number, or one for each group.
        threshold: least relative change of the information from one epoch to the next at which the lr stays; at
            least 0, where 0 never lets it fall. It compares shares, and no patience is counted.
        interpolate: ``"linear"`` or ``"log"``: how ``q`` lies between the bounds.
        layer_wise: every group by its own layer.
        warmup_epochs: so many epochs leave the lr as it is, the first one always.
        start_lr: within the bounds; ``lr_max``, if ``None``.
        correction: of the information's bias, ``None`` or ``"miller-madow"``.

    Raises:
        TypeError: the optimizer is none.
        ValueError: an argument is out of range, or groups lack a ``"layer"`` that they need.

    Source: Vasudevan, "Mutual Information Based Learning Rate Decay for Stochastic Gradient Descent Training of Deep
    Neural Networks", Entropy 22 (2020) 560; its first form is arXiv 1805.07249. A reconstruction from the abstract.

    Example:
        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
        >>> scheduler = MutualInformationLR(optimizer, lr_min=0.001, lr_max=0.1)
        >>> for right in (700, 900, 903):
        ...     scheduler.step(torch.tensor([[right, 1000 - right], [1000 - right, right]]))
        ...     print(round(scheduler.last_q, 3), round(scheduler.get_last_lr()[0], 4))
        0.119 0.1
        0.531 0.1
        0.541 0.0465
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_min: Bound,
        lr_max: Bound,
        *,
        threshold: float = 0.05,
        interpolate: Literal["linear", "log"] = "linear",
        layer_wise: bool = False,
        warmup_epochs: int = 0,
        start_lr: Bound | None = None,
        correction: Correction = None,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"optimizer must be a torch.optim.Optimizer, got {type(optimizer).__name__}")
        check_number("threshold", threshold, "a number of at least 0", lambda value: value >= 0)
        check_choice("interpolate", interpolate, ("linear", "log"))
        check_flag("layer_wise", layer_wise)
        check_integer("warmup_epochs", warmup_epochs, "an integer of at least 0")
        if warmup_epochs < 0:
            raise ValueError(f"warmup_epochs must be an integer of at least 0, got {warmup_epochs}")
        if correction is not None:
            check_choice("correction", correction, ("miller-madow", None))
        self.optimizer = optimizer
        self.bounds = Bounds(lr_min, lr_max, start_lr, len(optimizer.param_groups))
        self.threshold, self.interpolate = float(threshold), interpolate
        self.layer_wise, self.warmup_epochs, self.correction = layer_wise, warmup_epochs, correction
        self.last_epoch = 0
        self.last_information: float | None = None
        self.last_q: float | None = None
        self.last_layer_information: dict[str, float] = {}
        self.last_layer_q: dict[str, float] = {}
        self._layers()
        for group, lr in zip(optimizer.param_groups, self.bounds.start, strict=True):
            _set_lr(group, lr)
        self._note_lr()

    def step(self, counts: ConfusionCounts | Tensor) -> None:  # type: ignore[override]
        """End an epoch: measure what its counts tell, and lower the lr if that has settled.

        Where the ranks of a distributed run have counted, each of them must call it, and all move alike. Nothing
        changes if it raises. It does not reset the counts.

        Args:
            counts: the :class:`ConfusionCounts` of the epoch, or a table (C, C) of integers, true class by predicted
                class, of all ranks.

        Raises:
            OneClassError: all samples are of one class.
            TypeError: it is neither, or the table holds no integers.
            ValueError: there are no samples or negative counts, the table is not square; the counts are of no layers
                while ``layer_wise``, or not of those of the groups; bounds that are lists do not fit the groups.
        """
        pairs, layers = self.bounds.of(len(self.optimizer.param_groups)), self._layers()
        table, tables = self._tables(counts)
        if unknown := [layer for layer in layers if layer not in tables]:
            raise ValueError(f"a group of parameters has layer {unknown[0]!r}, and the counts are of {list(tables)}")
        information, q = measured(table, self.correction)
        by_layer = {n: measured(t, self.correction) for n, t in tables.items() if t is not None}
        settled = _is_settled(information, self.last_information, self.threshold)
        settled_layers = {
            name: _is_settled(found, self.last_layer_information.get(name), self.threshold)
            for name, (found, _) in by_layer.items()
        }
        self.last_epoch += 1
        self.last_information, self.last_q = information, q
        self.last_layer_information |= {name: found for name, (found, _) in by_layer.items()}
        self.last_layer_q |= {name: share for name, (_, share) in by_layer.items()}
        if self.last_epoch > self.warmup_epochs:
            for i, (group, (low, high)) in enumerate(zip(self.optimizer.param_groups, pairs, strict=True)):
                told = q if not self.layer_wise else self.last_layer_q.get(layers[i], 0.0)
                if settled_layers.get(layers[i], False) if self.layer_wise else settled:
                    lr = _between(low, high, told, self.interpolate)
                    if lr < float(group["lr"]):
                        _set_lr(group, lr)
        self._note_lr()

    def get_last_lr(self) -> list[float | Tensor]:
        """The lr of every group after the last step; tensors are copies."""
        return [lr.clone() if isinstance(lr, Tensor) else lr for lr in self._last_lr]

    def state_dict(self) -> dict[str, Any]:
        """What changes from epoch to epoch, and the settings, as numbers, strings and containers of them."""
        settings = ("threshold", "interpolate", "layer_wise", "warmup_epochs", "correction")
        state = {name: getattr(self, name) for name in (*_SAVED, *settings)}
        return state | {"lr_min": self.bounds.lr_min, "lr_max": self.bounds.lr_max, **_copies(state)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave, its settings and bounds included. The lr itself is in the
        optimizer's state.

        Raises:
            ValueError: it is the state of something else.
        """
        if wrong := sorted(self.state_dict().keys() ^ state_dict.keys()):
            raise ValueError(f"state_dict must be that of a MutualInformationLR, got one that differs in {wrong}")
        state = {**state_dict, **_copies(state_dict)}
        self.bounds.lr_min, self.bounds.lr_max = state.pop("lr_min"), state.pop("lr_max")
        self.__dict__.update(state)

    def _layers(self) -> list[str]:
        """List the layers of the groups, one each, if they are needed."""
        if not self.layer_wise:
            return []
        for number, group in enumerate(self.optimizer.param_groups):
            if not isinstance(group.get("layer"), str):
                raise ValueError(
                    f"with layer_wise=True every group of parameters must name its 'layer', and group {number} has "
                    f"{group.get('layer')!r}; make the optimizer of layer_groups(model)"
                )
        return [group["layer"] for group in self.optimizer.param_groups]

    def _tables(self, counts: ConfusionCounts | Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Read the counts; of a layer that has not been run there is ``None``."""
        if isinstance(counts, ConfusionCounts):
            if not self.layer_wise:
                return counts.table(), {}
            tables = counts.tables()
            return counts.table(), {name: tables.get(name) for name in counts.layers}
        if not isinstance(counts, Tensor):
            raise TypeError(
                f"counts must be ConfusionCounts or a tensor of integers (C, C), got {type(counts).__name__}"
            )
        if self.layer_wise:
            raise ValueError("with layer_wise=True counts must be ConfusionCounts(classes, model=model), got a tensor")
        check_table(counts)
        if counts.shape[0] != counts.shape[1]:
            raise ValueError(f"counts must be square, true class by predicted class, got shape {tuple(counts.shape)}")
        return counts, {}

    def _note_lr(self) -> None:
        lrs = [group["lr"] for group in self.optimizer.param_groups]
        self._last_lr = [lr.clone() if isinstance(lr, Tensor) else lr for lr in lrs]


def _is_settled(now: float, before: float | None, threshold: float) -> bool:
    return before is not None and abs(now - before) / max(before, _TINY) < threshold


def _between(low: float, high: float, q: float, interpolate: str) -> float:
    lr = high ** (1 - q) * low**q if interpolate == "log" else low + (high - low) * (1 - q)
    return min(max(lr, low), high)


def _set_lr(group: dict[str, Any], lr: float) -> None:
    if isinstance(group["lr"], Tensor):
        group["lr"].fill_(lr)
    else:
        group["lr"] = lr


def _copies(state: dict[str, Any]) -> dict[str, Any]:
    """Copy the lists and tables of a state, so that none is shared."""
    return {name: value.copy() for name, value in state.items() if isinstance(value, list | dict)}

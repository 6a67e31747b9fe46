"""What an instrument looks at: a model, some of its weights, a loss, and data that it passes over again and again."""

import fnmatch
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from steepest._kept import evaluated, random_numbers_kept
from steepest.diagnostics.samples import LossFunction, Samples, loss_of, samples_of

UNUSED = "the loss does not depend on any trainable parameter: look for detach() or no_grad()"
Filter = str | Iterable[str] | Callable[[str, nn.Parameter], bool]


class Subject:
    """A model and data as instruments see them: in evaluation mode, the same samples and random numbers in every pass,
    without autocast, and without ``torch.compile``, which cannot differentiate twice.

    A model within ``DistributedDataParallel`` is looked at by all ranks together, each with data of its own: sums are
    those of all ranks.

    Args:
        params: which trainable parameters count: patterns of their names as in ``fnmatch``, or a function of name and
            parameter; all by default. Vectors hold them one after the other, in the model's order.
    """

    def __init__(
        self, model: nn.Module, loss_fn: LossFunction, data: Iterable[object], params: Filter | None = None
    ) -> None:
        self._group: Any = None
        self.model: nn.Module = _uncompiled(model)
        if isinstance(self.model, nn.parallel.DistributedDataParallel):
            self._group, self.model = self.model.process_group, _uncompiled(self.model.module)
        _check_model(self.model)
        _check_data(data)
        if not callable(loss_fn):
            raise TypeError(f"loss_fn must be a function of outputs and targets, got {loss_fn!r}")
        self.loss_fn = loss_fn
        self.params = _find_params(self.model, params)
        self.passes = 0
        self.samples = 0
        """In one pass, on all ranks."""
        self.checked = False
        """Whether samples have gradients of their own."""
        self._data = data
        self._mean_loss: float | None = None
        self._started = time.perf_counter()

    @property
    def weights(self) -> list[nn.Parameter]:
        return list(self.params.values())

    @property
    def size(self) -> int:
        """The number of weights."""
        return sum(p.numel() for p in self.weights)

    @property
    def ranks(self) -> int:
        return dist.get_world_size(self._group) if self._group is not None else 1

    @property
    def rank(self) -> int:
        return dist.get_rank(self._group) if self._group is not None else 0

    @property
    def device(self) -> torch.device:
        return self.weights[0].device

    @property
    def dtype(self) -> torch.dtype:
        """In what is summed up."""
        return torch.float64 if any(p.dtype == torch.float64 for p in self.weights) else torch.float32

    @property
    def seconds(self) -> float:
        """Since it has been made."""
        return time.perf_counter() - self._started

    @contextmanager
    def looked_at(self) -> Iterator[None]:
        """While it is measured; afterwards modes, buffers, hooks, ``.grad`` and weights are what they were."""
        full_precision = torch.autocast(self.device.type, enabled=False)
        with torch.inference_mode(False), torch.no_grad(), full_precision, evaluated(self.model):
            yield

    @contextmanager
    def same_random_numbers(self) -> Iterator[None]:
        """What is drawn within is drawn again the next time, and nothing of it is seen outside."""
        with random_numbers_kept({p.device for p in self.weights}, self._data):
            yield

    def batches(self) -> Iterator[Samples]:
        """One pass over the data, without what holds no samples."""
        self.passes += 1
        with self.same_random_numbers():
            for batch in self._data:
                samples = samples_of(batch, self.device)
                if samples.count:
                    yield samples

    def loss(self, samples: Samples) -> Tensor:
        """The mean loss over samples."""
        return loss_of(self.model, self.loss_fn, samples)

    def mean(self, measure: Callable[[Samples], tuple[Tensor, Tensor]]) -> tuple[float, Tensor]:
        """The mean over all samples of what ``measure`` finds in a batch: its loss, and a tensor.

        Raises:
            ValueError: there are no samples.
            RuntimeError: the loss is not finite, or another than in the pass before.
        """
        losses: list[Tensor] = []
        counts: list[int] = []
        total: Tensor | None = None
        for samples in self.batches():
            loss, found = measure(samples)
            losses.append(loss.detach())
            counts.append(samples.count)
            total = found * samples.count if total is None else total.add_(found, alpha=samples.count)
        mean = self.note_losses(losses, counts)
        if total is None:
            total = torch.zeros(self.size, dtype=self.dtype, device=self.device)
        return mean, self.total(total) / self.samples

    def mean_gradient(self) -> tuple[float, Tensor]:
        """The mean loss over all samples and its gradient, in one pass.

        Raises:
            ValueError: there are no samples.
            RuntimeError: the loss or its gradient is not finite, or the loss is another than in the pass before.
        """
        loss, gradient = self.mean(self.differentiate)
        if not torch.isfinite(gradient).all():
            raise RuntimeError("the loss is finite but its gradient is not")
        return loss, gradient

    def differentiate(self, samples: Samples) -> tuple[Tensor, Tensor]:
        """The mean loss over samples, and its gradient."""
        with torch.enable_grad():
            loss = self.loss(samples)
            found = torch.autograd.grad(loss, self.weights, allow_unused=True) if loss.requires_grad else ()
        if all(g is None for g in found):
            raise RuntimeError(UNUSED)
        gradient = [torch.zeros_like(p) if g is None else g for g, p in zip(found, self.weights, strict=True)]
        return loss.detach(), self.flat(gradient)

    def note_losses(self, losses: Sequence[Tensor], counts: Sequence[int]) -> float:
        """The mean loss of a pass from those of its batches, as all ranks have seen it.

        Raises:
            ValueError: there are no samples.
            RuntimeError: it is not finite, or another than in the pass before.
        """
        means = torch.stack(list(losses)).tolist() if losses else []
        values = [count * loss for count, loss in zip(counts, means, strict=True)]
        add = math.fsum if all(map(math.isfinite, values)) else sum
        total, size, samples = self.total_numbers(add(values), add(map(abs, values)), sum(counts))
        if samples == 0:
            raise ValueError("data must hold at least one sample, got none")
        self.samples = int(samples)
        mean = float(total / samples)
        if not math.isfinite(mean):
            raise RuntimeError(f"the loss over data must be finite, got {mean}")
        before = mean if self._mean_loss is None else self._mean_loss
        self._mean_loss = before
        # Batches that are shuffled round differently; anything beyond is another loss.
        if abs(mean - before) > math.sqrt(torch.finfo(self.dtype).eps) * size / samples:
            raise RuntimeError(
                f"the loss over data changed from {before:.9g} to {mean:.9g} between two passes: data must give the "
                "same samples each time, without random augmentation, and loss_fn the mean over the samples it is given"
            )
        return mean

    def total(self, values: Tensor) -> Tensor:
        """The sum over the ranks."""
        if self._group is None:
            return values
        values = values.clone()
        dist.all_reduce(values, group=self._group)
        return values

    def total_numbers(self, *numbers: float) -> list[float]:
        """The sums over the ranks."""
        if self._group is None:
            return list(numbers)
        found: list[float] = self.total(torch.tensor(numbers, dtype=torch.float64, device=self.device)).tolist()
        return found

    def counts_of_ranks(self, count: int) -> list[int]:
        """A number that each rank has, of all ranks in their order."""
        return [int(n) for n in self.total_numbers(*(count if rank == self.rank else 0 for rank in range(self.ranks)))]

    def draw(self, generator: torch.Generator) -> Tensor:
        """A vector of independent normal numbers, the same on every device."""
        drawn = torch.randn(self.size, generator=generator, dtype=torch.float64, device="cpu")
        return drawn.to(self.dtype).to(self.device)

    def flat(self, tensors: Iterable[Tensor]) -> Tensor:
        """A vector from one tensor for each parameter."""
        return torch.cat([t.detach().reshape(-1).to(device=self.device, dtype=self.dtype) for t in tensors])

    def split(self, vector: Tensor) -> list[Tensor]:
        """The same back: views of each parameter's shape, copies where it has another precision."""
        pieces = torch.split(vector, [p.numel() for p in self.weights])
        return [piece.view(p.shape).to(p) for piece, p in zip(pieces, self.weights, strict=True)]

    def named(self, vector: Tensor) -> dict[str, Tensor]:
        """The same by the parameters' names."""
        return dict(zip(self.params, self.split(vector), strict=True))


def generator_of(seed: object) -> torch.Generator:
    """A generator on the CPU, whatever the default device is."""
    return torch.Generator(device="cpu").manual_seed(whole("seed", seed))


def whole(name: str, value: object, least: int | None = None) -> int:
    """An argument that must be a whole number, of at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} must be an int, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return value


def between(name: str, value: object, low: float, high: float) -> float:
    """An argument that must be a number in the open interval."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a float, got {value!r}")
    if not low < value < high:
        raise ValueError(f"{name} must be in ({low:g}, {high:g}), got {value}")
    return float(value)


def one_of(name: str, value: object, allowed: Sequence[str]) -> str:
    """An argument that must be one of some words."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, allowed))}, got {value!r}")
    return value


def _uncompiled(model: nn.Module) -> nn.Module:
    """Take the module that ``torch.compile`` was given, whose parameters have their own names."""
    inside = getattr(model, "_orig_mod", None)
    return inside if isinstance(inside, nn.Module) else model


def _check_model(model: object) -> None:
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    # By name: a build of torch may lack it.
    if type(model).__name__ == "FullyShardedDataParallel":
        raise TypeError("model must not be sharded, got FullyShardedDataParallel: gather the model on one device")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("model must not be of TorchScript, where a lost graph cannot be found: pass the Python module")


def _check_data(data: object) -> None:
    if isinstance(data, Iterator):
        raise TypeError(f"data must be iterable several times, got {type(data).__name__}: pass a list or a DataLoader")
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise TypeError(f"data must give batches, got {type(data).__name__}: pass DataLoader(data, batch_size=...)")
    if not isinstance(data, Iterable):
        raise TypeError(f"data must be a list of batches or a DataLoader, got {type(data).__name__}")


def _find_params(model: nn.Module, chosen: Filter | None) -> dict[str, nn.Parameter]:
    """Find the trainable parameters that count, each once, by the first of its names."""
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    if sum(p.numel() for p in trainable.values()) == 0:
        raise ValueError(f"model must have a parameter with requires_grad=True, got none in {type(model).__name__}")
    if chosen is not None:
        wanted = _select(model, chosen)
        trainable = {name: p for name, p in trainable.items() if id(p) in wanted}
        if sum(p.numel() for p in trainable.values()) == 0:
            raise ValueError(
                f"params must choose a trainable parameter of the model, such as 'layer1.*', got {chosen!r}"
            )
    for p in trainable.values():
        if p.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"trainable parameters must be float32 or float64, got {p.dtype}: use a copy in float32")
        if hasattr(p, "full_tensor"):
            raise TypeError("trainable parameters must not be sharded (DTensor): gather the model on one device")
    return trainable


def _select(model: nn.Module, chosen: Filter) -> set[int]:
    named = list(model.named_parameters(remove_duplicate=False))  # a tied one by any of its names
    if callable(chosen):
        return {id(p) for name, p in named if chosen(name, p)}
    patterns: list[str] = (
        [chosen] if isinstance(chosen, str) else [*chosen] if isinstance(chosen, Iterable) else [chosen]
    )
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise TypeError(f"params must be patterns of names or a function of name and parameter, got {chosen!r}")
    return {id(p) for name, p in named if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)}

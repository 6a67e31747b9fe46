"""Symmetric weight noise (S-SGD): the mean of the gradients at two mirrored points around the weights."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.optim.optimizer import ParamsT

from steepest.gradients.draws import buckets, draw, local_part, normal, signs
from steepest.gradients.noise_arguments import (
    Memory,
    Noise,
    Per,
    Statistics,
    check_noise,
    noise_groups,
    refuse_unmovable,
)
from steepest.gradients.noise_pair import (
    Pair,
    forget_computed_weights,
    guard,
    layout_of,
    magnitudes_of,
    mean_gradient,
    refuse_strangers,
    warn_of_no_gradient,
)
from steepest.gradients.rounding import rest_of, undo
from steepest.optim.arguments import check_integer
from steepest.optim.norms import local

_WITH_STATISTICS = nn.modules.batchnorm._NormBase  # BatchNorm, SyncBatchNorm and InstanceNorm of every dimension


class SymmetricNoise:
    r"""Symmetric weight noise: evaluate the gradient at ``w + n`` and at ``w - n``, step at ``w``.

    .. code-block:: text

        n_l = alpha * rms(w_l) * s        s: random signs, in the shape of the weight tensor w_l
        g   = (grad L(w + n; B1) + grad L(w - n; B2)) / 2

    On a quadratic loss the two points cancel: ``g`` is the gradient at ``w``. Elsewhere they add half the curvature
    along the noise, ``E[L] + tr(H Cov n) / 2``, so that sharp minima are avoided. This is a **reconstruction**: the
    paper's noise law, its reference norm and its use of the batch could not be had.

    Only weight tensors of 2 and more dimensions are moved; biases and normalisation layers stay. Any optimizer takes
    the step; mixed precision, accumulation, clipping, DDP and FSDP2 work as in an ordinary loop, since the contexts
    move nothing but the weights. After each context the weights are back bit for bit, also when its body raises.
    ``backward()`` belongs into the context. A pair ``plus``, ``minus`` shares its noise, and the next ``plus`` draws
    anew: with gradient accumulation put all micro-batches into one pair.

    The noise depends on the seed, the number of the draw and the order and sizes of the parameters, not on the rank:
    with FSDP2 each rank adds its part of one noise. The CPU and CUDA draw different numbers.

    Args:
        params: all parameters of the model: tensors, ``(name, tensor)`` pairs, or group dicts, which may have an
            ``alpha`` of their own. Weights with ``requires_grad=False`` stay where they are.
        alpha: noise over the root mean square of the weights; finite, at least 0. 0.05 to begin with; the sheet's
            search is over 0.01, 0.02, 0.05 and 0.1. 0 draws nothing and moves nothing.
        noise: ``"sign"``, or ``"gaussian"``: a random direction of the same norm.
        per: the root mean square is one ``"tensor"``'s, or each ``"filter"``'s (an index of the first dimension).
        sides: 2, or 1 for one-sided noise, where there is only ``plus()``.
        seed: must be the same on all ranks.
        memory: ``"copy"`` keeps a copy of the moved weights inside a context (4 bytes a weight in float32).
            ``"regenerate"`` draws the noise again, subtracts it, and keeps one byte a weight to undo the rounding
            exactly, besides the few weights a byte cannot mend; on CUDA it waits for the device.
        model: needed if ``batch_norm`` is not ``"both"``.
        batch_norm: which contexts update the running statistics of the model's normalisation layers (in training mode,
            where batches are normalised by their own statistics all the same): ``"both"``, as in two ordinary forward
            passes, only ``"plus"``, or ``"neither"``.

    Raises:
        ValueError: an argument is out of range, or there is nothing to move.
        RuntimeError: contexts are nested or out of order, or an optimizer steps in the middle of a pair.

    Source: Sung, Choi, Park, Choi, Shin, "S-SGD: Symmetrical Stochastic Gradient Descent with Weight Noise Injection
    for Reaching Flat Minima", arXiv 2009.02479; a reconstruction from the abstract.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([[2.0]]))
        >>> noise = SymmetricNoise([w], alpha=0.5)  # n = +1 or -1
        >>> with noise.plus():
        ...     (w**4 / 2).sum().backward()
        >>> with noise.minus():
        ...     (w**4 / 2).sum().backward()
        >>> w.grad  # 4 w^3 + 12 w n^2
        tensor([[56.]])
    """

    draws: int = 0
    """Noises drawn so far; with the seed it fixes the next one."""
    sign: int = 0
    """+1 inside ``plus()``, -1 inside ``minus()``, else 0: where a closure stands."""

    def __init__(
        self,
        params: ParamsT,
        alpha: float = 0.05,
        *,
        noise: Noise = "sign",
        per: Per = "tensor",
        sides: Literal[1, 2] = 2,
        seed: int = 0,
        memory: Memory = "copy",
        model: nn.Module | None = None,
        batch_norm: Statistics = "both",
    ) -> None:
        check_noise(alpha, seed, noise=noise, per=per, sides=sides, memory=memory, batch_norm=batch_norm)
        if batch_norm != "both" and model is None:
            raise ValueError(f"batch_norm={batch_norm!r} needs model=, whose statistics are meant")
        if model is not None and not isinstance(model, nn.Module):
            raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        self.param_groups = noise_groups(params, alpha)
        refuse_unmovable(self.param_groups)
        self.noise = noise
        self.per = per
        self.sides = sides
        self.seed = seed
        self.memory = memory
        self.batch_norm = batch_norm
        self._model = model
        self._norm_layers = [] if model is None else [m for m in model.modules() if isinstance(m, _WITH_STATISTICS)]
        theirs = set() if model is None else set(model.parameters())
        self._of_model = [p for group in self.param_groups for p in group["params"] if p in theirs]
        self._pair: Pair | None = None

    def __getstate__(self) -> dict[str, Any]:
        if self.sign:
            raise RuntimeError("SymmetricNoise cannot be copied inside plus() or minus(): the weights are moved")
        return {**vars(self), "_pair": None}  # a copy of an open pair would hold its weights against optimizers

    @contextmanager
    def plus(self) -> Iterator[None]:
        """The weights at ``w + n``, with a new noise.

        Raises:
            RuntimeError: another context is open, or the last pair lacks its ``minus()``.
        """
        self._refuse_nesting("plus")
        if self._pair is not None:
            raise RuntimeError("plus() after plus(): each plus() must be followed by its minus(); reset() drops a pair")
        self._pair = self._open()
        with self._moved(self._pair, +1, ends_pair=self.sides == 1):
            yield

    @contextmanager
    def minus(self) -> Iterator[None]:
        """The weights at ``w - n``, with the noise of the ``plus()`` before.

        Raises:
            RuntimeError: another context is open, there was no ``plus()``, or ``sides=1``.
        """
        if self.sides == 1:
            raise RuntimeError("minus() does not exist with sides=1: one-sided noise is plus() alone")
        self._refuse_nesting("minus")
        if self._pair is None:
            raise RuntimeError("minus() without plus(): it takes the noise of the plus() before it")
        if [layout_of(w) for w in self._pair.weights] != self._pair.layouts:
            raise RuntimeError(
                "the shape, dtype or device of a weight changed between plus() and minus(), which must share a noise: "
                "call reset() and evaluate both again"
            )
        with self._moved(self._pair, -1, ends_pair=True):
            yield

    def reset(self) -> None:
        """Drop a pair that lacks its ``minus()``, for a loop that gives up on a batch.

        Raises:
            RuntimeError: inside a context.
        """
        self._refuse_nesting("reset")
        self._close()

    def closure(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """A closure that evaluates the given one at both points and leaves the mean gradient: for ``step(closure)``.

        ``optimizer.step(noise.closure(closure))`` works with every optimizer that takes a closure. The closure does
        forward and backward, and may call ``zero_grad()`` or add to what ``.grad`` holds. The result returns the mean
        of the two losses. It costs two evaluations; the given closure can read :attr:`sign` to use a half of the batch
        at each point.

        Example:
            >>> w = torch.nn.Parameter(torch.tensor([[2.0]]))
            >>> adam = torch.optim.Adam([w], lr=0.5)
            >>> noise = SymmetricNoise([w], alpha=0.5)
            >>> def closure():
            ...     adam.zero_grad()
            ...     loss = (w**2).sum()
            ...     loss.backward()
            ...     return loss
            >>> adam.step(noise.closure(closure))  # the mean of 3^2 and 1^2
            tensor(5., grad_fn=<DivBackward0>)
        """

        def evaluate() -> Any:
            if self.sides == 1:
                with self.plus():
                    return closure()
            params = [p for group in self.param_groups for p in group["params"]]
            before = [None if p.grad is None else p.grad.clone() for p in params]
            with self.plus():
                first_loss = closure()
            first = [p.grad for p in params]
            for p, grad in zip(params, before, strict=True):
                p.grad = grad
            with self.minus():
                second_loss = closure()
            for p, grad in zip(params, first, strict=True):
                p.grad = mean_gradient(grad, p.grad)
            return None if first_loss is None or second_loss is None else (first_loss + second_loss) / 2

        return evaluate

    def state_dict(self) -> dict[str, int]:
        """What a resumed run needs to draw the same noises: ``seed`` and ``draws``."""
        return {"seed": self.seed, "draws": self.draws}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Resume where :meth:`state_dict` was taken.

        Raises:
            KeyError: a key is missing.
            ValueError: a value is no integer.
        """
        check_integer("seed", state_dict["seed"], "an integer, the same on all ranks")
        check_integer("draws", state_dict["draws"])
        self.seed, self.draws = state_dict["seed"], state_dict["draws"]

    def _refuse_nesting(self, name: str) -> None:
        if self.sign:
            inside = "plus" if self.sign > 0 else "minus"
            raise RuntimeError(f"{name}() inside {inside}(): the contexts do not nest")

    def _open(self) -> Pair:
        alphas: dict[Tensor, float] = {}  # a weight that is given twice moves once
        for group in self.param_groups:
            check_noise(group["alpha"], self.seed)
            for p in group["params"]:
                if group["alpha"] > 0 and p.dim() >= 2 and p.requires_grad and p.numel() > 0:
                    alphas.setdefault(p, group["alpha"])
        weights = list(alphas)
        refuse_strangers(weights, self._of_model, self._model)
        magnitudes = magnitudes_of(weights, list(alphas.values()), self.per)
        layouts = [layout_of(w) for w in weights]
        pair = Pair((self.seed, self.draws), weights, layouts, buckets(weights), magnitudes, guard(self))
        self.draws += 1
        return pair

    def _close(self) -> None:
        if self._pair is not None:
            self._pair.guard.remove()
            self._pair = None

    @contextmanager
    def _moved(self, pair: Pair, sign: int, *, ends_pair: bool) -> Iterator[None]:
        updates = self.batch_norm == "both" or (self.batch_norm == "plus" and sign > 0)
        buffers = [] if updates else [b for layer in self._norm_layers for b in layer.buffers(recurse=False)]
        kept = [b.clone() for b in buffers]
        saved: list[Any] = []
        self.sign = sign
        try:
            with torch.no_grad():
                self._add(pair, sign, saved)
            forget_computed_weights()
            yield
        except BaseException:
            ends_pair = True
            raise
        finally:
            self.sign = 0
            try:
                with torch.no_grad():
                    for buffer, value in zip(buffers, kept, strict=True):
                        buffer.copy_(value)
                    self._take_back(pair, sign, saved)
            except RuntimeError:
                ends_pair = True
                raise
            finally:
                forget_computed_weights()
                if ends_pair:
                    self._close()
        if ends_pair:
            warn_of_no_gradient(pair.weights)

    def _add(self, pair: Pair, sign: int, saved: list[Any]) -> None:
        """Move the weights; ``saved`` gets what it takes to move each of them back."""
        for members in pair.buckets:
            here = [local(pair.weights[i]) for i in members]
            noises = self._noises(pair, members, sign)
            if self.memory == "copy":
                saved += [w.clone() for w in here]
                torch._foreach_add_(here, noises)
                continue
            for w, n in zip(here, noises, strict=True):
                moved = (w + n).to(w.dtype)
                saved.append(rest_of(w, (moved - n).to(w.dtype)))
                w.copy_(moved)

    def _take_back(self, pair: Pair, sign: int, saved: list[Any]) -> None:
        kept = iter(saved)
        lost: list[Tensor] = []
        for members in pair.buckets:
            weights = [pair.weights[i] for i in members]
            if self.memory == "copy":
                for i, w, copy in zip(members, weights, kept, strict=False):  # fewer were saved if moving them raised
                    if w.shape == pair.layouts[i][0]:
                        local(w).copy_(copy)
                    else:
                        lost.append(w)
            elif all(layout_of(pair.weights[i]) == pair.layouts[i] for i in members):
                noises = self._noises(pair, members, sign)
                for w, n, rest in zip(map(local, weights), noises, kept, strict=False):
                    undo(w, (w - n).to(w.dtype), rest)
            else:
                lost += [w for w, _ in zip(weights, kept, strict=False)]
        if lost:
            raise RuntimeError(
                f"{len(lost)} weights, the first of shape {tuple(lost[0].shape)}, were changed in shape, dtype or "
                "device inside plus() or minus() and keep their noise: load them again; memory='copy' gives back "
                "weights of another dtype or device"
            )

    def _noises(self, pair: Pair, members: list[int], sign: int) -> list[Tensor]:
        """Draw this rank's parts of the noise of a bucket, real, in float32 at least."""
        weights = [pair.weights[i] for i in members]
        fill = signs if self.noise == "sign" else normal
        directions = draw(weights, fill, *pair.key, members[0])
        if self.noise == "gaussian":
            for d in directions:  # to the norm of the signs
                dims = tuple(range(1, d.dim())) if self.per == "filter" else None
                d.div_(d.square().mean(dim=dims, keepdim=self.per == "filter").sqrt_())
        parts = [local_part(d, w) for d, w in zip(directions, weights, strict=True)]
        return [part.mul_(sign * pair.magnitudes[i]) for part, i in zip(parts, members, strict=True)]

"""Calibrated gradients (CSGD): every weight's gradient rescaled once a step, at random and unbiased, or as learned."""

import math
import weakref
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.optimizer import (
    Optimizer,
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)

from steepest.gradients.calibrators import Calibrator, Options, Per, checked, cosine, kept, learned_scale, ternary
from steepest.gradients.draws import buckets, draw, local_part, uniform
from steepest.gradients.hooks import Args, act_on_gradients, own_gradients
from steepest.gradients.layer_weights import weights_of
from steepest.gradients.travelling import TravellingHook, own_optimizer
from steepest.optim.arguments import check_integer
from steepest.optim.norms import aligned, filter_sums, full_maxima, full_norms, local
from steepest.optim.partial import refuse_flattened

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.modules.conv._ConvNd)


class Calibration(TravellingHook):
    """The handle of :func:`calibrate`.

    Copied or pickled together with its model, for instance as an attribute of it, it is a handle of the copied model,
    which it calibrates. Alone it is a handle of no model.
    """

    draws: int = 0
    """Steps calibrated so far; with the seed it fixes the next random numbers."""
    _outer: weakref.ref[Optimizer] | None = None

    def __init__(
        self, model: nn.Module, options: Options, layers: tuple[type[nn.Module], ...], optimizer: Optimizer | None
    ) -> None:
        self.options = options
        self._everywhere = optimizer is None
        self._state: dict[str, dict[str, Tensor]] = {}
        self._hold(model, [(name, module) for name, module in model.named_modules() if isinstance(module, layers)])
        if not any(weights_of(layer) for _, reference in self._layers if (layer := reference()) is not None):
            raise ValueError(f"model must have a layer of {', '.join(t.__name__ for t in layers)}, got none")
        refuse_flattened("calibrate", self._weights().values())
        if optimizer is None:
            self._attach_everywhere()
        else:
            self.attach(optimizer)

    @property
    def scales(self) -> dict[str, Tensor]:
        """The learned scale of every filter, by the weight's name; empty with the other calibrators."""
        return {name: state["scale"] for name, state in self._state.items()}

    @property
    def wire_bits(self) -> int:
        """Bits that one step's calibrated gradients would need on the wire.

        ``"lipschitz"`` leaves at most three values a tensor: log2(3) bits an element and 32 for the bound. The other
        calibrators leave the gradient in its own format.
        """
        bits = 0
        for weight in self._weights().values():
            if self.options.calibrator == "lipschitz":
                bits += math.ceil(weight.numel() * math.log2(3)) + 32
            else:
                bits += weight.numel() * weight.element_size() * 8
        return bits

    def uncovered(self) -> list[str]:
        """Names of the model's parameters whose gradients are left alone: biases, normalisation layers and the rest.

        Raises:
            RuntimeError: the model is gone, as it is for a copy of the handle alone.
        """
        model = None if self._model is None else self._model()
        if model is None:
            raise RuntimeError("the model of this calibration is gone: copy or pickle a handle together with its model")
        covered = {id(weight) for weight in self._weights().values()}
        return [name for name, p in model.named_parameters() if id(p) not in covered]

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the seed, the number of draws, and by name what ``"learned"`` has learned."""
        state = {name: dict(tensors) for name, tensors in self._state.items()}
        return {"seed": self.options.seed, "draws": self.draws, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Resume where :meth:`state_dict` was taken.

        Raises:
            KeyError: a key is missing.
            ValueError: it is of another model: a name or a shape does not fit.
        """
        check_integer("seed", state_dict["seed"])
        check_integer("draws", state_dict["draws"])
        weights = self._weights()
        state: dict[str, dict[str, Tensor]] = {}
        for name, tensors in state_dict["state"].items():
            if name not in weights or tensors["previous"].shape != weights[name].shape:
                raise ValueError(f"state_dict must fit the model's weights, got one of {name!r} that does not")
            state[name] = {key: tensor.detach().to(weights[name].device).clone() for key, tensor in tensors.items()}
        self.options = self.options._replace(seed=state_dict["seed"])
        self.draws = state_dict["draws"]
        self._state = state

    def __getstate__(self) -> dict[str, Any]:
        layers = [(name, layer) for name, reference in self._layers if (layer := reference()) is not None]
        model = None if self._model is None else self._model()
        return {**super().__getstate__(), "_layers": layers, "_model": model, "_outer": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._hold(state["_model"], state["_layers"])
        if self._everywhere and not self.removed:
            self._attach_everywhere()

    def _hold(self, model: nn.Module | None, layers: list[tuple[str, nn.Module]]) -> None:
        # Layers and not their weights, which fully_shard replaces; weakly, since torch keeps a hook on all optimizers.
        self._model = None if model is None else weakref.ref(model)
        self._layers = [(name, weakref.ref(layer, self._lose_layer)) for name, layer in layers]

    def _lose_layer(self, _: object) -> None:
        if self._everywhere and all(reference() is None for _, reference in self._layers):
            self.remove()

    def _attach_everywhere(self) -> None:
        before, after = register_optimizer_step_pre_hook(self), register_optimizer_step_post_hook(self._after_step)

        def detach() -> None:
            before.remove()
            after.remove()

        self._detach = detach

    def _weights(self) -> dict[str, Tensor]:
        names: dict[Tensor, str] = {}
        for prefix, reference in self._layers:
            if (layer := reference()) is not None:
                for name, weight in weights_of(layer):
                    if not isinstance(weight, nn.UninitializedParameter):
                        names.setdefault(weight, f"{prefix}.{name}".lstrip("."))  # a shared weight once
        return {name: weight for weight, name in names.items()}

    def before_step(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> Any:
        if self._everywhere and self._is_inner(optimizer):
            return None
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        weights = {name: weight for name, weight in self._weights().items() if id(weight) in held}
        if not weights:
            if not self._everywhere:
                raise RuntimeError(
                    f"{type(optimizer).__name__} holds no weight of the model that calibrate(model, optimizer=...) is "
                    "to act on: the parameters were replaced, or one was copied without the other; call calibrate again"
                )
            return None
        if self._everywhere:
            self._outer = weakref.ref(optimizer)
        return act_on_gradients(lambda: self._calibrate(weights), args, kwargs)

    def _is_inner(self, optimizer: Optimizer) -> bool:
        """Say whether this is a step inside that of an optimizer around it (ZeRO), which was calibrated at its
        start."""
        outer = None if self._outer is None else self._outer()
        return outer is not None and outer is not optimizer and _holds(outer, optimizer)

    def _after_step(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> None:
        if self._outer is not None and self._outer() is optimizer:
            self._outer = None

    @torch.no_grad()
    def _calibrate(self, weights: dict[str, Tensor]) -> None:
        grads: dict[str, Tensor] = {}
        for name, weight in weights.items():
            if weight.grad is None:
                continue
            if weight.grad.is_sparse:
                raise RuntimeError(f"calibrate does not support sparse gradients, got one of {name}: use dense ones")
            weight.grad = aligned(weight.grad, weight)  # it may still be a sum to be taken over the ranks
            grads[name] = weight.grad
        grads = dict(zip(grads, own_gradients([weights[name] for name in grads]), strict=True))
        if self.options.calibrator == "learned":
            self._learn(grads)
        else:
            self._randomize(list(grads.values()))
        self.draws += 1

    def _randomize(self, grads: list[Tensor]) -> None:
        options = self.options
        bounds = self._bounds(grads) if options.calibrator == "lipschitz" else []
        for members in buckets(grads):
            chosen = [grads[i] for i in members]
            full = draw(chosen, uniform, options.seed, self.draws, members[0])
            if options.per == "filter":  # the first number of a filter is for all of it
                full = [f.flatten(1)[:, 0].view(-1, *[1] * (f.dim() - 1)).expand_as(f) for f in full]
            for i, grad, chances in zip(members, chosen, full, strict=True):
                here, chance = local(grad), local_part(chances, grad)
                if options.calibrator == "bernoulli":
                    here.copy_(kept(here, chance, options.keep))
                else:
                    here.copy_(ternary(here, bounds[i], chance))

    def _bounds(self, grads: list[Tensor]) -> list[Tensor]:
        if self.options.clip is None:
            return full_maxima(grads)
        sizes = [g.numel() * (2 if g.is_complex() else 1) for g in grads]
        return [self.options.clip * norm / n**0.5 for norm, n in zip(full_norms(grads), sizes, strict=True)]

    def _learn(self, grads: dict[str, Tensor]) -> None:
        known = [name for name in grads if name in self._state]
        now, past = [grads[name] for name in known], [self._state[name]["previous"] for name in known]
        sums = (filter_sums(a, b) for a, b in ((now, past), (now, now), (past, past)))
        for name, both, own, before in zip(known, *sums, strict=True):
            scale = local(self._state[name]["scale"])
            scale.copy_(learned_scale(scale, cosine(both, own, before), self.options.rate, self.options.limits))
        for name, grad in grads.items():
            state = self._state.setdefault(name, {"scale": _make_ones(grad)})
            state["previous"] = grad.clone()
            here = local(grad)
            here.copy_(here * local(state["scale"]))


def calibrate(
    model: nn.Module,
    calibrator: Calibrator = "bernoulli",
    *,
    keep: float | None = None,
    per: Per | None = None,
    clip: float | None = None,
    rate: float | None = None,
    limits: tuple[float, float] | None = None,
    seed: int = 0,
    layers: tuple[type[nn.Module], ...] = LAYERS,
    optimizer: Optimizer | None = None,
) -> Calibration:
    r"""Calibrate the gradient of every convolution's and linear layer's weight, once a step, for any optimizer.

    .. code-block:: text

        bernoulli   g * M / keep        M ~ Bernoulli(keep)       mean g, variance g^2 (1 - keep) / keep
        lipschitz   K * sign(g) * B     B ~ Bernoulli(|g| / K)    mean g, variance K |g| - g^2
        learned     c_f * g_f           c_f += rate * cos(g_f, g_f of the step before)

    This is a **reconstruction**: the layer of the paper could not be had in full, and these are three readings of it.
    For ``lipschitz`` K is the largest magnitude in the tensor; a ``clip`` lowers it, and then large elements are cut
    and the estimate is biased. For ``learned`` the hypergradient of a filter's scale, ``-lr * g_t . g_{t-1}``, is taken
    as a cosine, so that ``rate`` does not depend on the size of the loss.

    It acts at ``optimizer.step()``, on what the step finds in ``.grad``: after accumulation, all-reduce, unscaling and
    clipping, and in closures after each evaluation. So it is the same on every DDP rank, and 1 rank and 2 ranks agree.
    ``.grad`` is overwritten. The forward pass, evaluation and the model's ``state_dict`` know nothing of it. A copy of
    the model is calibrated if the handle was copied with it. Random numbers come from the seed and the number of the
    step. A gradient that is not finite stays so. Nothing here waits for the device.

    A weight that is computed from others (``weight_norm``, ``spectral_norm``, pruning) is calibrated in those of 2
    dimensions and more; :meth:`Calibration.uncovered` lists what is left alone. Of an optimizer inside another (ZeRO)
    the outer one's step is calibrated, once.

    Args:
        model: any module; call it after ``fully_shard``, ``DistributedDataParallel`` or ``torch.compile``, or before.
        calibrator: ``"bernoulli"``, ``"lipschitz"`` or ``"learned"``.
        keep: ``bernoulli``: share of the gradient that is kept, in (0, 1]; default 0.9. 1 is the bare optimizer.
        per: ``bernoulli``: one draw for every ``"element"`` (the default), or ``"filter"``.
        clip: ``lipschitz``: K is at most this many root mean squares of the gradient (2.5 is TernGrad's); default
            ``None``, the unbiased one.
        rate: ``learned``: largest change of a scale in a step, at least 0; default 0.01.
        limits: ``learned``: what the scales may not leave; default (0.1, 10).
        seed: the same on all ranks.
        layers: types of the modules whose ``weight`` is meant.
        optimizer: act in the steps of this one only, which may be a wrapper (Accelerate's, Lightning's); by default in
            those of any torch optimizer that holds the weights.

    Returns:
        A handle with ``remove()``, ``uncovered()``, ``state_dict()``, ``load_state_dict()``, ``scales`` and
        ``wire_bits``.

    Raises:
        ValueError: an option is out of range or of another calibrator, or the model has no such layer.
        RuntimeError: in ``step``, when a gradient is sparse, or ``optimizer`` holds none of the weights.

    Source: Zhuo, Zhang, Chen, Ye, Liu, Doermann, "Calibrated Stochastic Gradient Descent for Convolutional Neural
    Networks", AAAI 2019, 9348-9355; a reconstruction. ``lipschitz`` is the quantiser of TernGrad (Wen et al., 2017),
    the hypergradient is that of Baydin et al. (2018).

    Example:
        >>> layer = nn.Linear(1000, 1, bias=False)
        >>> sgd = torch.optim.SGD(layer.parameters(), lr=0.1)
        >>> handle = calibrate(layer, keep=0.5)
        >>> layer(torch.ones(1, 1000)).sum().backward()
        >>> sgd.step()
        >>> layer.weight.grad.unique()
        tensor([0., 2.])
        >>> handle.remove()
    """
    options = checked(calibrator, keep, per, clip, rate, limits, seed)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if not isinstance(layers, tuple) or not all(isinstance(t, type) and issubclass(t, nn.Module) for t in layers):
        raise ValueError(f"layers must be a tuple of module types, got {layers!r}")
    return Calibration(model, options, layers, None if optimizer is None else own_optimizer(optimizer))


def _holds(outer: Optimizer, inner: Optimizer) -> bool:
    """Say whether one optimizer is an attribute of the other, or in a list or dict that is."""
    for value in vars(outer).values():
        values = value.values() if type(value) is dict else value if isinstance(value, list | tuple) else (value,)
        if any(one is inner for one in values):
            return True
    return False


def _make_ones(grad: Tensor) -> Tensor:
    """Make a scale of ones for every filter, laid over the ranks as the filters are."""
    ones = torch.ones_like(filter_sums([grad], [grad])[0])
    if not hasattr(grad, "placements"):
        return ones
    from torch.distributed.tensor import DTensor, Replicate

    sharded = cast("DTensor", grad)
    placements = [p if p.is_shard(0) else Replicate() for p in sharded.placements]
    shape = torch.Size([grad.shape[0], *ones.shape[1:]])
    stride = torch.empty(shape, dtype=ones.dtype, device="meta").stride()
    return DTensor.from_local(ones, sharded.device_mesh, placements, run_check=False, shape=shape, stride=stride)

"""Calibrated gradients (CSGD): every weight's gradient rescaled once a step, at random and unbiased, or as learned."""

import math
import weakref
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.optimizer import Optimizer, register_optimizer_step_pre_hook

from steepest.gradients.calibrators import Calibrator, Options, Per, checked, cosine, kept, learned_scale, ternary
from steepest.gradients.draws import buckets, draw, local_part, uniform
from steepest.gradients.hooks import Args, act_on_gradients
from steepest.optim.norms import aligned, filter_sums, full_maxima, full_norms, local

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, nn.modules.conv._ConvNd)


class Calibration:
    """The handle of :func:`calibrate`."""

    draws: int = 0
    """Steps calibrated so far; with the seed it fixes the next random numbers."""

    def __init__(
        self, model: nn.Module, options: Options, layers: tuple[type[nn.Module], ...], optimizer: Optimizer | None
    ) -> None:
        self.options = options
        # Layers and not their weights, which fully_shard replaces; weakly, since torch keeps a hook on all optimizers.
        self._layers = [(name, weakref.ref(m)) for name, m in model.named_modules() if isinstance(m, layers)]
        self._state: dict[str, dict[str, Tensor]] = {}
        if not self._weights():
            raise ValueError(f"model must have a layer of {', '.join(t.__name__ for t in layers)}, got none")
        register = register_optimizer_step_pre_hook if optimizer is None else optimizer.register_step_pre_hook
        self._hook = register(self._before_step)
        weakref.finalize(model, self._hook.remove)

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

    def remove(self) -> None:
        """Leave the gradients alone from now on."""
        self._hook.remove()

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs: the seed, the number of draws, and by name what ``"learned"`` has learned."""
        state = {name: dict(tensors) for name, tensors in self._state.items()}
        return {"seed": self.options.seed, "draws": self.draws, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on where :meth:`state_dict` was taken.

        Raises:
            KeyError: a key is missing.
            ValueError: it is of another model: a name or a shape does not fit.
        """
        weights = self._weights()
        state: dict[str, dict[str, Tensor]] = {}
        for name, tensors in state_dict["state"].items():
            if name not in weights or tensors["previous"].shape != weights[name].shape:
                raise ValueError(f"state_dict must fit the model's weights, got one of {name!r} that does not")
            state[name] = {key: tensor.detach().to(weights[name].device).clone() for key, tensor in tensors.items()}
        self.options = self.options._replace(seed=state_dict["seed"])
        self.draws = state_dict["draws"]
        self._state = state

    def _weights(self) -> dict[str, nn.Parameter]:
        names: dict[nn.Parameter, str] = {}
        for name, reference in self._layers:
            layer = reference()
            weight = None if layer is None else layer._parameters.get("weight")
            if weight is not None and not isinstance(weight, nn.UninitializedParameter):
                names.setdefault(weight, f"{name}.weight".lstrip("."))  # a shared weight once
        return {name: weight for weight, name in names.items()}

    def _before_step(self, optimizer: Optimizer, args: Args, kwargs: dict[str, Any]) -> Any:
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        weights = {name: weight for name, weight in self._weights().items() if id(weight) in held}
        return act_on_gradients(lambda: self._calibrate(weights), args, kwargs) if weights else None

    @torch.no_grad()
    def _calibrate(self, weights: dict[str, nn.Parameter]) -> None:
        grads: dict[str, Tensor] = {}
        for name, weight in weights.items():
            if weight.grad is None:
                continue
            if weight.grad.is_sparse:
                raise RuntimeError(f"calibrate does not support sparse gradients, got one of {name}: use dense ones")
            grads[name] = aligned(weight.grad, weight)
            if grads[name] is not weight.grad:  # it was still a sum to be taken over the ranks
                weight.grad = grads[name]
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
            state = self._state.setdefault(name, {"scale": _ones_by_filter(grad)})
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
    ``.grad`` is overwritten. The forward pass, evaluation and the model's ``state_dict`` know nothing of it; a copy of
    the model is not calibrated. Random numbers come from the seed and the number of the step. A gradient that is not
    finite stays so. Nothing here waits for the device.

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
        optimizer: act in the steps of this one only; by default in those of any torch optimizer that holds the
            weights. Needed where one optimizer wraps another and both hold them.

    Returns:
        A handle with ``remove()``, ``state_dict()``, ``load_state_dict()``, ``scales`` and ``wire_bits``.

    Raises:
        ValueError: an option is out of range or of another calibrator, or the model has no such layer.
        RuntimeError: in ``step``, when a gradient is sparse.

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
    return Calibration(model, checked(calibrator, keep, per, clip, rate, limits, seed), layers, optimizer)


def _ones_by_filter(grad: Tensor) -> Tensor:
    """A scale for every filter, laid over the ranks as the filters are."""
    ones = torch.ones_like(filter_sums([grad], [grad])[0])
    if not hasattr(grad, "placements"):
        return ones
    from torch.distributed.tensor import DTensor, Replicate

    sharded = cast("DTensor", grad)
    placements = [p if p.is_shard(0) else Replicate() for p in sharded.placements]
    shape = torch.Size([grad.shape[0], *ones.shape[1:]])
    return DTensor.from_local(
        ones, sharded.device_mesh, placements, run_check=False, shape=shape, stride=torch.empty(shape).stride()
    )

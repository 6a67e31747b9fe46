"""Sharpness: the largest eigenvalue of the Hessian of the mean loss over given data."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset, IterableDataset

from steepest.diagnostics.lanczos import HessianEigenvalue, lanczos
from steepest.diagnostics.lost_graph import LossFunction, has_error_node, nodes_of, refuse_lost_graph

Batches = Iterable[tuple[Tensor, Tensor]]


def largest_hessian_eigenvalue(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Batches,
    *,
    iterations: int = 100,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> HessianEigenvalue:
    r"""Largest eigenvalue of the Hessian of the mean loss over ``data``, by the model's trainable parameters.

    .. code-block:: text

        L(w) = sum_b n_b * loss_fn(model(x_b), y_b) / sum_b n_b       n_b: samples in batch b
        value = max over ||v|| = 1 of  v' H v,                        H = the second derivative of L at w

    Largest means algebraically greatest, with its sign: of -5, 0 and 2 it is 2. Found by the Lanczos process with full
    reorthogonalisation, which finds that end of the spectrum directly; power iteration would find -5 first. The
    Hessian is never formed: its products with vectors come from differentiating twice.

    The model runs in evaluation mode: no dropout, BatchNorm with its running statistics. Afterwards modes, buffers,
    ``.grad``, weights and torch's random state are what they were.

    **Cost**: at most ``iterations + 1`` passes over the data, each as dear as three to five gradients; one copy of
    the trainable parameters for each iteration, and one batch's graph. Our runs needed 7 to 47 iterations.

    **What it is not**: a measure of generalisation, nor the same for two networks that compute the same function with
    other weights; nor the limit of the learning rate of any optimizer other than plain full-batch gradient descent.

    Args:
        model: called as ``model(inputs)``; its trainable parameters are float32 or float64.
        loss_fn: called as ``loss_fn(outputs, targets)``; the **mean** over the batch, as torch's losses are by default.
        data: pairs ``(inputs, targets)`` of tensors whose first dimension is the samples, in batches of any sizes; the
            same samples each time it is iterated: a list, or a ``DataLoader`` without random augmentation. Moved to the
            device of the model's first parameter.
        iterations: the most Lanczos steps, at least 1. There are never more than parameters.
        tolerance: in (0, 1); ends the search when the residual is at most ``tolerance * |value|``, or rounding error.
        seed: of the random start vector, which is the same on every device.

    Returns:
        ``value``, ``residual``, ``iterations`` and ``converged``. Not having converged is not an error.

    Raises:
        TypeError: an argument is of the wrong kind; ``data`` is a generator, which could be iterated only once.
        ValueError: an argument is out of range, nothing is trainable, there are no samples, the loss is not one number.
        RuntimeError: the loss or its second derivative is not finite, the loss does not depend on the parameters, it
            changed from one pass to the next, or autograd's derivatives are not those of the loss: part of the graph
            was lost in a custom backward, ``detach()``, ``float()``, a hook or the like.

    Source: Lanczos, J. Res. Nat. Bur. Stand. 45 (1950); Hessian-vector products: Pearlmutter, Neural Computation 6
    (1994). What to make of the value: Cohen et al., arXiv 2103.00065; Dinh et al., arXiv 1703.04933.

    Example:
        >>> line = torch.nn.Linear(2, 1, bias=False)
        >>> inputs, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> found = largest_hessian_eigenvalue(line, torch.nn.MSELoss(), [(inputs, targets)])
        >>> round(found.value, 4), found.converged  # of 2/n X'X = diag(9, 1)
        (9.0, True)
    """
    params = _check(model, data, iterations, tolerance, seed)
    product = hessian_product(model, params, loss_fn, data)
    generator = torch.Generator(device="cpu").manual_seed(seed)
    count = sum(p.numel() for p in params)
    start = torch.randn(count, generator=generator, dtype=torch.float64, device="cpu")
    with torch.inference_mode(False), torch.no_grad(), _as_found(model):
        return lanczos(product, start.to(_dtype(params)).to(params[0].device), iterations, tolerance)


def hessian_product(
    model: nn.Module, params: Sequence[Tensor], loss_fn: LossFunction, data: Batches
) -> Callable[[Tensor], Tensor]:
    """The function ``v -> H v``, one pass over the data, for flat vectors; it refuses a loss that changes."""
    device = params[0].device
    first: list[float] = []

    def product(vector: Tensor) -> Tensor:
        direction = [piece.to(p) for piece, p in zip(_split_by_shape(vector, params), params, strict=True)]
        total = torch.zeros_like(vector)
        losses: list[Tensor] = []
        sizes: list[int] = []

        def check(inputs: Tensor, targets: Tensor, *, once: bool) -> None:
            with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
                same = lambda: _same_random_numbers((), params)  # noqa: E731
                refuse_lost_graph(model, loss_fn, inputs, targets, same, once=once)

        with _same_random_numbers(data, params):
            for batch in data:
                inputs, targets = _pair(batch, device)
                if len(inputs) == 0:
                    continue
                look = not first
                loss, curvature, once = _differentiate_batch(
                    model, params, loss_fn, inputs, targets, direction, look=look
                )
                if not first and (once or not sizes):
                    check(inputs, targets, once=once)
                for place, piece in zip(_split_by_shape(total, params), curvature, strict=True):
                    place.add_(piece.to(place), alpha=len(inputs))
                losses.append(loss)
                sizes.append(len(inputs))
            if not first and len(sizes) > 1:  # the last batch may be smaller, and take another way
                check(inputs, targets, once=False)
        if not sizes:
            raise ValueError("data must hold at least one sample, got none")
        samples = sum(sizes)
        weighted = [n * loss / samples for n, loss in zip(sizes, torch.stack(losses).tolist(), strict=True)]
        mean = math.fsum(weighted)
        if not math.isfinite(mean):
            raise RuntimeError(f"the loss over data must be finite, got {mean}")
        first.append(mean)
        # Batches that are shuffled round differently; anything beyond is another loss.
        if abs(mean - first[0]) > math.sqrt(torch.finfo(vector.dtype).eps) * math.fsum(map(abs, weighted)):
            raise RuntimeError(
                f"the loss over data changed from {first[0]:.9g} to {mean:.9g} between two passes: data must give the "
                "same samples each time, without random augmentation"
            )
        if not torch.isfinite(total).all():
            raise RuntimeError("the loss is finite but its second derivative is not: it is not smooth at these weights")
        return total / samples

    return product


def _differentiate_batch(
    model: nn.Module,
    params: Sequence[Tensor],
    loss_fn: LossFunction,
    inputs: Tensor,
    targets: Tensor,
    direction: Sequence[Tensor],
    *,
    look: bool,
) -> tuple[Tensor, Sequence[Tensor], bool]:
    """Compute one batch's loss and Hessian-vector product; after a ``look``, say whether it can be differentiated once
    only.

    Its graph dies here, before the next batch's is built.
    """
    # The fused attention kernels cannot be differentiated twice.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        loss = loss_fn(model(inputs), targets)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
            raise ValueError(f"loss_fn must return one number, the mean over the batch, as a tensor, got {got}")
        _refuse_reentrant_checkpoint(loss)
        gradient: Sequence[Tensor | None] = ()
        if loss.requires_grad:
            gradient = torch.autograd.grad(loss, params, create_graph=True, allow_unused=True)
        if all(g is None for g in gradient):
            raise RuntimeError("the loss does not depend on any trainable parameter: look for detach() or no_grad()")
        once = look and has_error_node(gradient)
        # Where the loss is linear in a parameter, or does not use it, there is nothing more to differentiate.
        curved = [(g, v) for g, v in zip(gradient, direction, strict=True) if g is not None and g.requires_grad]
        if not curved:
            return loss.detach().reshape(()), [torch.zeros_like(p) for p in params], once
        outputs, directions = zip(*curved, strict=True)
        product = torch.autograd.grad(outputs, params, directions, materialize_grads=True)
        return loss.detach().reshape(()), product, once


def _refuse_reentrant_checkpoint(loss: Tensor) -> None:
    """Refuse a checkpoint that hides the parameters it covers: they would silently count as unused."""
    if any(node.name() == "CheckpointFunctionBackward" for node in nodes_of([loss])):
        raise RuntimeError("torch.utils.checkpoint works here with use_reentrant=False only")


def _split_by_shape(vector: Tensor, params: Sequence[Tensor]) -> list[Tensor]:
    """Split the flat vector into views, one of each parameter's shape."""
    pieces = torch.split(vector, [p.numel() for p in params])
    return [piece.view(p.shape) for piece, p in zip(pieces, params, strict=True)]


@contextmanager
def _as_found(model: nn.Module) -> Iterator[None]:
    """Keep evaluation mode, and no hook on a parameter, whose gradient it may change; then put all back as it was.

    Without ``model.eval()``, which a module may have overridden, and which tells one mode only.
    """
    modes = [(module, module.training) for module in model.modules()]
    hooks = [(p, p._backward_hooks) for p in model.parameters() if p._backward_hooks]
    buffers = [(m, name, b, b.clone()) for m in model.modules() for name, b in m.named_buffers(recurse=False)]
    try:
        for module, _ in modes:
            module.training = False
        for param, _ in hooks:
            param._backward_hooks = None
        yield
    finally:
        for param, its in hooks:
            param._backward_hooks = its
        for module, mode in modes:
            module.training = mode
        for module, name, buffer, content in buffers:
            setattr(module, name, buffer)
            if not torch.equal(buffer, content):
                buffer.copy_(content)


@contextmanager
def _same_random_numbers(data: Batches, params: Sequence[Tensor]) -> Iterator[None]:
    """Keep the random state of torch, and of a DataLoader's own generators, the same after as before.

    So every pass sees the same numbers, and nothing of it is seen outside. Even a DataLoader that does not shuffle
    draws from the global state.
    """
    owners = (data, getattr(data, "sampler", None))
    generators = [g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)]
    states = [g.get_state() for g in generators]
    devices = {p.device for p in params if p.device.type != "cpu"}
    kind = next(iter(devices)).type if devices else "cuda"
    try:
        with torch.random.fork_rng([d.index for d in devices], device_type=kind):
            yield
    finally:
        for generator, state in zip(generators, states, strict=True):
            generator.set_state(state)


def _pair(batch: object, device: torch.device) -> tuple[Tensor, Tensor]:
    match batch:
        case (Tensor() as inputs, Tensor() as targets) if inputs.dim() > 0:
            return inputs.to(device), targets.to(device)
    raise TypeError(
        "data must give pairs (inputs, targets) of tensors with the samples in their first dimension, got "
        f"{type(batch).__name__}; one batch alone is [(inputs, targets)]"
    )


def _dtype(params: Sequence[Tensor]) -> torch.dtype:
    return torch.float64 if any(p.dtype == torch.float64 for p in params) else torch.float32


def _check(model: object, data: object, iterations: object, tolerance: object, seed: object) -> list[Tensor]:
    """Refuse what cannot work; return the model's trainable parameters, each once."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    # By name: a build of torch may lack them.
    if type(model).__name__ in ("DistributedDataParallel", "FullyShardedDataParallel"):
        raise TypeError(f"model must be the module itself, not {type(model).__name__}: pass model.module, and all data")
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise TypeError("model must not be of TorchScript, where a lost graph cannot be found: pass the Python module")
    if isinstance(data, Iterator):
        raise TypeError(f"data must be iterable several times, got {type(data).__name__}: pass a list or a DataLoader")
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        raise TypeError(f"data must give batches, got {type(data).__name__}: pass DataLoader(data, batch_size=...)")
    if not isinstance(data, Iterable):
        raise TypeError(f"data must be a list of batches or a DataLoader, got {type(data).__name__}")
    if isinstance(iterations, bool) or not isinstance(iterations, int):
        raise TypeError(f"iterations must be an int, got {iterations!r}")
    if iterations < 1:
        raise ValueError(f"iterations must be at least 1, got {iterations}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, int | float):
        raise TypeError(f"tolerance must be a float, got {tolerance!r}")
    if not 0 < tolerance < 1:
        raise ValueError(f"tolerance must be in (0, 1), got {tolerance}")
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise TypeError(f"seed must be an int, got {seed!r}")
    params: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    if sum(p.numel() for p in params) == 0:
        raise ValueError(f"model must have a parameter with requires_grad=True, got none in {type(model).__name__}")
    for p in params:
        if p.dtype not in (torch.float32, torch.float64):
            raise TypeError(f"trainable parameters must be float32 or float64, got {p.dtype}: use a copy in float32")
        if hasattr(p, "full_tensor"):
            raise TypeError("trainable parameters must not be sharded (DTensor): gather the model on one device")
    return params

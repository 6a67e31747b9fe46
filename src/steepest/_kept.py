"""What is only looked at, or tried, is left as it was found: weights, buffers, modes, optimizers, random numbers."""

import random
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from types import FunctionType, ModuleType
from typing import Any

import torch
import torch.optim.optimizer as optimizers
from torch import Tensor, nn
from torch.optim import Optimizer

_PLAIN = bool | int | float | str | None


@contextmanager
def evaluated(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no hook on a parameter, whose gradient it may change; then modes, hooks and buffers as
    before.

    Without ``model.eval()``, which a module may have overridden, and which tells one mode only.
    """
    hooks = [(p, p._backward_hooks) for p in model.parameters() if p._backward_hooks]
    with modes_kept(model), buffers_kept(model):
        try:
            for module in model.modules():
                module.training = False
            for param, _ in hooks:
                param._backward_hooks = None
            yield
        finally:
            for param, its in hooks:
                param._backward_hooks = its


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Every module's own mode, training or evaluation."""
    modes = [(module, module.training) for module in model.modules()]
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


@contextmanager
def buffers_kept(model: nn.Module) -> Iterator[None]:
    """The buffers, as objects and as numbers."""
    before = [(m, name, b, b.clone()) for m in model.modules() for name, b in m.named_buffers(recurse=False)]
    try:
        yield
    finally:
        for module, name, buffer, content in before:
            setattr(module, name, buffer)
            if not torch.equal(buffer, content):
                with torch.no_grad():
                    buffer.copy_(content)


@contextmanager
def weights_kept(model: nn.Module) -> Iterator[None]:
    """The parameters' numbers and, as objects, their gradients; within, there are none at first."""
    before = [(p, p.detach().clone(), p.grad) for p in model.parameters()]
    try:
        for p, _, _ in before:
            p.grad = None
        yield
    finally:
        with torch.no_grad():
            for p, content, grad in before:
                p.copy_(content)
                p.grad = grad


@contextmanager
def optimizer_kept(optimizer: Optimizer) -> Iterator[None]:
    """The optimizer's state, what its groups hold, as objects and as numbers, and numbers that it keeps beside."""
    plain = {name: value for name, value in vars(optimizer).items() if isinstance(value, _PLAIN)}
    groups = [(group, {name: _copy(value) for name, value in group.items()}) for group in optimizer.param_groups]
    states = {p: {name: _copy(value) for name, value in state.items()} for p, state in optimizer.state.items()}
    try:
        yield
    finally:
        for group, values in groups:
            _put_back(group, values)
        for p in [p for p in optimizer.state if p not in states]:
            del optimizer.state[p]
        for p, values in states.items():
            _put_back(optimizer.state[p], values)
        for name in [name for name, value in vars(optimizer).items() if isinstance(value, _PLAIN)]:
            if name not in plain:
                delattr(optimizer, name)
        vars(optimizer).update(plain)


def _copy(value: Any) -> Any:
    """Copy a value that may be written to, beside the value itself."""
    if isinstance(value, Tensor):
        return value, value.detach().clone()
    return value, list(value) if isinstance(value, list) else value


def _put_back(place: dict[str, Any], values: dict[str, Any]) -> None:
    for name in place.keys() - values.keys():
        del place[name]
    for name, (value, content) in values.items():
        if isinstance(value, Tensor):
            with torch.no_grad():
                value.copy_(content)
        elif isinstance(value, list):
            value[:] = content
        place[name] = value


@contextmanager
def random_numbers_kept(devices: Iterable[torch.device], *owners: object) -> Iterator[None]:
    """The same numbers are drawn afterwards as if nothing had been drawn within: by torch on the CPU and on
    ``devices``, NumPy, Python, and the generators that ``owners`` hold, such as a DataLoader's and its sampler's.

    Even a DataLoader that does not shuffle draws from torch's global generator.
    """
    generators = {id(g): g for owner in owners for g in _list_generators(owner)}.values()
    states = [(g, g.get_state()) for g in generators]
    others = {d for d in devices if d.type != "cpu"}
    kind = next(iter(others)).type if others else "cuda"
    numpy = sys.modules.get("numpy")
    before = random.getstate(), numpy and numpy.random.get_state()
    try:
        with torch.random.fork_rng([d.index for d in others], device_type=kind):
            yield
    finally:
        random.setstate(before[0])
        if numpy:
            numpy.random.set_state(before[1])
        for generator, state in states:
            generator.set_state(state)


def _list_generators(owner: object) -> list[torch.Generator]:
    sampler = getattr(owner, "sampler", None)
    batches = getattr(owner, "batch_sampler", None)
    parts = (owner, sampler, batches, getattr(batches, "sampler", None))
    return [g for part in parts if isinstance(g := getattr(part, "generator", None), torch.Generator)]


@contextmanager
def gradients_kept(model: nn.Module) -> Iterator[None]:
    """The numbers of the gradients, which lie in memory that others write to where DDP keeps them in its buckets."""
    before = [(p.grad, p.grad.detach().clone()) for p in model.parameters() if p.grad is not None]
    try:
        yield
    finally:
        with torch.no_grad():
            for grad, content in before:
                grad.copy_(content)


@contextmanager
def attributes_kept(*owners: object) -> Iterator[None]:
    """The attributes of objects: which there are and, of numbers, tensors, generators, lists and tables of them, what
    they hold."""
    before = [(owner, _remember(vars(owner))) for owner in {id(owner): owner for owner in owners}.values()]
    try:
        yield
    finally:
        for _, put_back in before:
            put_back()


def _remember(value: Any, depth: int = 4) -> Callable[[], Any]:
    """Return what puts a value's content back, and returns the value."""
    if isinstance(value, Tensor) and not isinstance(value, nn.Parameter):
        content = value.detach().clone()

        def put_back() -> Any:
            with torch.no_grad():
                value.copy_(content)
            return value

    elif isinstance(value, torch.Generator):
        state = value.get_state()

        def put_back() -> Any:
            value.set_state(state)
            return value

    elif isinstance(value, dict) and depth:
        parts = {key: _remember(part, depth - 1) for key, part in value.items()}

        def put_back() -> Any:
            for key in value.keys() - parts.keys():
                del value[key]
            value.update({key: part() for key, part in parts.items()})
            return value

    elif isinstance(value, list) and depth:
        items = [_remember(part, depth - 1) for part in value]

        def put_back() -> Any:
            value[:] = [part() for part in items]
            return value

    else:

        def put_back() -> Any:
            return value

    return put_back


def hook_owners(model: nn.Module, optimizer: Optimizer) -> list[object]:
    """The objects whose methods, or which themselves, are hooks of a model, its parameters or an optimizer, and what
    of this library they hold: a hook may keep numbers from step to step."""
    places = [optimizer, optimizers, *model.modules(), *model.parameters()]
    tables = [
        table for place in places for name, table in vars(place).items() if "hooks" in name and isinstance(table, dict)
    ]
    kinds = ("_backward_hooks", "_post_accumulate_grad_hooks")
    tables += [t for p in model.parameters() for kind in kinds if isinstance(t := getattr(p, kind, None), dict)]
    hooks = [getattr(hook, "__self__", hook) for table in tables for hook in table.values()]
    owners = [hook for hook in hooks if hasattr(hook, "__dict__") and not isinstance(hook, _NO_OWNERS)]
    held = [part for owner in owners for part in vars(owner).values() if type(part).__module__.startswith("steepest.")]
    return [*owners, *(part for part in held if hasattr(part, "__dict__") and not isinstance(part, _NO_OWNERS))]


_NO_OWNERS = (type, FunctionType, ModuleType, nn.Module, Optimizer, Tensor)


@contextmanager
def all_kept(model: nn.Module, optimizer: Optimizer, *owners: object) -> Iterator[None]:
    """Weights, gradients, buffers, modes, the optimizer, and all random numbers, those of ``owners`` among them."""
    devices = {p.device for p in model.parameters()}
    with ExitStack() as stack:
        for kept in (weights_kept, buffers_kept, modes_kept):
            stack.enter_context(kept(model))
        stack.enter_context(optimizer_kept(optimizer))
        stack.enter_context(random_numbers_kept(devices, *owners))
        yield

"""What a method says of itself, and what the paths that take its step ask of it."""

from collections.abc import Hashable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from steepest.optim.blocks import block_of
from steepest.optim.layout import check_entry, is_view_of_bits
from steepest.optim.norms import BlockNorms
from steepest.optim.step import Decay


class Entry(NamedTuple):
    """One parameter that takes part in a step."""

    param: Tensor
    grad: Tensor  # as the user left it: still multiplied by a GradScaler's scale
    group: dict[str, Any]


class Signals(NamedTuple):
    """What a ``GradScaler`` sets on the optimizer before a step, else ``None``."""

    grad_scale: Tensor | None
    found_inf: Tensor | None


# A flag of the class, and the method that it tells of.
_TELLS_OF = {"normalizes": "scale", "has_step_scales": "step_scale"}


class Method(Optimizer):
    """An optimizer of the family as its paths see it; :class:`steepest.optim.ScaledSGD` is the one to extend."""

    normalizes: ClassVar[bool] = False
    """Whether :meth:`scale` is to be asked: whether a class overrides it, unless a class says otherwise."""
    has_step_scales: ClassVar[bool] = False
    """Whether :meth:`step_scale` is to be asked: whether a class overrides it, unless a class says otherwise."""
    _derived: ClassVar[frozenset[str]] = frozenset()
    _checked: list[Any] | None = None  # the groups' values, as they were when they were checked
    _own: list[tuple[int, int]] | None = None  # tensors that were seen to lie in memory of their own
    _plan: Any = None  # what the fused paths remember; neither pickled nor copied

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._derived = frozenset(_TELLS_OF.keys() - vars(cls).keys())
        for flag in cls._derived:
            setattr(cls, flag, _derive(cls, flag, _TELLS_OF[flag]))

    @property
    def nonfinite_steps(self) -> int:
        """Steps in which a block was passed over because a norm, and so a gradient, was not finite.

        A ``GradScaler``'s overflows are among them where it calls ``step`` in spite of them (``fused=True``). Reading
        it synchronises the device.
        """
        return as_number(self.param_groups[0]["nonfinite_steps"])

    def block_of(self, param: Tensor, name: str | None) -> Hashable:
        """What the parameter forms one block with: its layer if it has a name, else nothing but itself."""
        return block_of(param, name)

    def scale(self, group: dict[str, Any], norms: BlockNorms) -> float | Tensor:
        """Scale ``s_b`` of a block for the parameters of one group; not finite means "leave the block where it is".

        The norms are floats or tensors, of any shape: work element by element.
        """
        return 1.0

    def step_scale(self, param: Tensor, group: dict[str, Any]) -> Tensor | None:
        """Scale ``r_b`` of the parameter's step, a tensor that broadcasts to it; ``None`` means 1."""
        return None

    def needs_weight_norms(self, group: dict[str, Any]) -> bool:
        """Whether the scale of the group's parameters depends on the norm of their block's weights."""
        return False

    def norm_includes_decay(self, group: dict[str, Any]) -> bool:
        """Whether the norm that counts is that of ``g + weight_decay * w``."""
        return False

    def decay_of(self, group: dict[str, Any]) -> Decay:
        """Where the group's weight decay enters the step."""
        return "decoupled" if group["decoupled_weight_decay"] else "after_scaling"

    def refuse_sparse(self) -> str:
        """The message for a sparse gradient."""
        return f"{type(self).__name__} does not support sparse gradients: use dense ones (sparse=False)"

    def blocks(self) -> list[list[Entry]]:
        blocks: dict[Hashable, list[Entry]] = {}
        for group in self.param_groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for param, name in zip(group["params"], names, strict=True):
                if (grad := param.grad) is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError(self.refuse_sparse())
                check_entry(self, param, grad, group)
                if not torch.compiler.is_compiling() and is_view_of_bits(grad):
                    grad = grad.resolve_conj().resolve_neg()
                blocks.setdefault(self.block_of(param, name), []).append(Entry(param, grad, group))
        return list(blocks.values())

    def prepare(self, blocks: list[list[Entry]]) -> None:
        """Whatever a method must do once a step, before :meth:`scale` and :meth:`step_scale` are asked."""

    def prepared_blocks(self) -> list[list[Entry]]:
        """:meth:`blocks`, after :meth:`prepare` has seen them, if there are any."""
        if blocks := self.blocks():
            self.prepare(blocks)
        return blocks

    def count_nonfinite(self, passed_over: Tensor | bool) -> None:
        first = self.param_groups[0]
        if isinstance(passed_over, Tensor) and not isinstance(first["nonfinite_steps"], Tensor):
            first["nonfinite_steps"] = torch.full(
                (), first["nonfinite_steps"], dtype=torch.int64, device=passed_over.device
            )
        # In place, so that a captured CUDA graph keeps counting.
        first["nonfinite_steps"] += (
            passed_over.to(first["nonfinite_steps"].device) if isinstance(passed_over, Tensor) else passed_over
        )


def as_number(count: int | Tensor) -> int:
    """What was counted, on the host; on the meta device nothing was."""
    return 0 if isinstance(count, Tensor) and count.is_meta else int(count)


def _derive(cls: type, flag: str, method: str) -> bool:
    """Return what the nearest class says that sets the flag itself or overrides the method."""
    for base in cls.__mro__:
        if flag in vars(base) and flag not in vars(base).get("_derived", ()):
            return bool(vars(base)[flag])
        if method in vars(base):
            return True
    return False

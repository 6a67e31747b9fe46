"""How a run is trained, whatever its method: warm-up, clipping, pieces of a batch, precision, averaged weights."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args

from steepest.training.definitions import fields as checked

Precision = Literal["float32", "tf32", "bfloat16", "float16"]
PRECISIONS: tuple[str, ...] = get_args(Precision)


@dataclass(frozen=True)
class Recipe:
    r"""What all methods of a comparison share, unless a method says otherwise.

    Args:
        warmup: share of the run's steps, at its beginning, in which the lr rises linearly to what it would begin with:
            (step + 1) / W of it in step 0 to W - 1. A schedule that is a known factor then falls over the rest of the
            run; one that finds its lr is multiplied. Each task of a sequence warms up anew.
        clip: largest 2-norm of the whole gradient, before the optimizer sees it
            (:func:`torch.nn.utils.clip_grad_norm_`). A method that divides by the norm takes the same steps with and
            without.
        accumulate: pieces that every batch is cut into, whose gradients are added up: a question of memory. The batch
            and the budget stay what they are; only what looks at a whole batch, as BatchNorm, sees pieces.
        precision: ``"float32"``; ``"tf32"``, on a GPU alone; or what :class:`torch.autocast` computes in, in training
            and evaluation, while weights stay float32. With ``"float16"`` the loss is scaled
            (:class:`torch.amp.GradScaler`), and a step whose gradient overflows is not taken, but paid.
        compile: call the model by :func:`torch.compile` in training steps.
        ema: decay of an exponential moving average of weights and floating-point buffers, updated after each step; it
            is what is evaluated, tested and kept. ``None``: none.
        keep_best: test the weights of the best validation too, as stopping early would: the test data is then looked
            at twice. Nothing is chosen by it.

    Raises:
        ValueError: a field is not what it must be.

    Example:
        >>> Recipe(warmup=0.05, clip=1.0).changes()
        {'warmup': 0.05, 'clip': 1.0}
    """

    warmup: float = 0.0
    clip: float | None = None
    accumulate: int = 1
    precision: Precision = "float32"
    compile: bool = False
    ema: float | None = None
    keep_best: bool = False

    def __post_init__(self) -> None:
        _set_number(self, "warmup", "from 0 to below 1", lambda x: 0 <= x < 1)
        if self.clip is not None:
            _set_number(self, "clip", "above 0", lambda x: 0 < x < float("inf"))
        if self.ema is not None:
            _set_number(self, "ema", "above 0 and below 1", lambda x: 0 < x < 1)
        object.__setattr__(self, "accumulate", checked.positive("accumulate", self.accumulate))
        if self.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")
        for name in ("compile", "keep_best"):
            checked.flag(name, getattr(self, name))

    def changes(self) -> dict[str, Any]:
        """What differs from a plain run."""
        return {name: value for name, value in asdict(self).items() if value != getattr(PLAIN, name)}

    def with_changes(self, changes: Mapping[str, Any]) -> "Recipe":
        """The same with other values.

        Raises:
            ValueError: there is no such field, or a value is not what it must be.
        """
        names = [field.name for field in fields(Recipe)]
        if unknown := sorted(set(changes) - set(names)):
            raise ValueError(f"a recipe has no {unknown[0]!r}; it has {', '.join(names)}")
        return replace(self, **changes)


def _set_number(recipe: Recipe, name: str, allowed: str, holds: Any) -> None:
    value = checked.number(name, getattr(recipe, name))
    if not holds(value):
        raise ValueError(f"{name} must be {allowed}, got {value:g}")
    object.__setattr__(recipe, name, value)


PLAIN = Recipe()

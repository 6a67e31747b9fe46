"""What is compared: an optimizer, the hyperparameters that are searched and those that are not."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from torch import nn
from torch.optim import Optimizer

from steepest._errors import InputError
from steepest.optim import param_groups
from steepest.training.definitions import fields
from steepest.training.definitions.estimator import Estimator
from steepest.training.definitions.groups import check_known, check_names, grouped, own_of
from steepest.training.definitions.range import Choice, Domain, Range
from steepest.training.definitions.recipe import PLAIN
from steepest.training.definitions.schedule import Schedule
from steepest.training.definitions.space import check_space


@dataclass(frozen=True)
class Method:
    """An optimizer and its search space.

    Args:
        name: shown in the report.
        optimizer: called as ``optimizer(params, **hyperparameters)``. ``params`` come with names; if there is a
            ``weight_decay`` other than 0 among the hyperparameters, as the groups of :func:`steepest.param_groups`.
        space: the searched hyperparameters, each a :class:`Range` or a :class:`Choice`. Must hold ``lr``, unless
            ``fixed`` does and a ``schedule`` of its own has a controller that finds it, or the optimizer does.
            ``"weight_decay@head.*"`` is that of the parameters whose names the pattern matches, ``"lr_scale@head.*"``
            what their lr is multiplied by (:func:`~.groups.grouped`).
        fixed: the others, if they are not to have the optimizer's own defaults.
        evaluations_per_step: the most gradients that the optimizer asks for in a step; see :attr:`cost`. They are
            counted: a run fails at a step that takes more, and one that takes fewer pays for all of them.
        closure: call ``optimizer.step(closure)`` instead of ``optimizer.step()`` after ``backward()``.
        description: one line.
        estimators: where the gradient comes from, if not from one plain evaluation; of each kind at most one.
        prepare: called as ``prepare(model)`` before the optimizer is made, for hooks that it relies on, such as
            :func:`steepest.track_input_power`.
        schedule: of the learning rate, instead of the one that all methods of a study share.
        recipe: what of the study's :class:`Recipe` is otherwise for this method, such as ``{"clip": None}``.
        batches_per_step: whose gradient together a step takes, in one mean over all their samples; ``"epoch"``: all of
            an epoch, for methods of the full batch. Each is paid for.
        batch_size: samples of each of its gradient evaluations, where it is not to be the workload's or the study's; in
            a study whose budget is not counted in gradient evaluations.
        counted: a step pays for the calls of its closure instead, at most ``evaluations_per_step``; a group's
            ``"evaluations_left"`` says how many the budget still has.
        finds_lr: the optimizer finds its learning rate, so that ``lr`` may be fixed.

    Raises:
        ValueError: a field is not what it must be, ``space`` is empty or lacks ``lr``, a hyperparameter is both
            searched and fixed, or the estimators cannot be had together or with this optimizer.
    """

    name: str
    optimizer: Callable[..., Optimizer]
    space: Mapping[str, Domain]
    fixed: Mapping[str, Any] = field(default_factory=dict)
    evaluations_per_step: int = 1
    closure: bool = False
    description: str = ""
    estimators: tuple[Estimator, ...] = ()
    prepare: Callable[[nn.Module], object] | None = None
    schedule: Schedule | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    batches_per_step: int | Literal["epoch"] = 1
    batch_size: int | None = None
    counted: bool = False
    finds_lr: bool = False

    def __post_init__(self) -> None:
        fields.named("a method's name", self.name)
        self._check_types(f"method {self.name!r}: ")
        by_schedule = self.schedule is not None and self.schedule.controller is not None
        finds_lr = "lr" in self.fixed and (by_schedule or self.finds_lr)
        if "lr" not in self.space and not (self.space and finds_lr):
            raise ValueError(f"the space of method {self.name!r} must hold 'lr', got {sorted(self.space)}")
        if both := set(self.space) & set(self.fixed):
            raise ValueError(f"method {self.name!r} has {sorted(both)} both searched and fixed; choose one")
        self._check_estimators()

    def _check_types(self, of: str) -> None:
        fields.function(f"{of}optimizer", self.optimizer, "of parameters and hyperparameters, such as torch.optim.SGD")
        for name, searched in fields.table(f"{of}space", self.space).items():
            if not isinstance(searched, Range | Choice):
                raise ValueError(
                    f"{of}the space of {name!r} must be a steepest.compare.Range, such as Range(0.001, 1.0), or a "
                    f"Choice, such as Choice(True, False), got {searched!r}"
                )
        check_space(of, self.space)
        fields.table(f"{of}fixed", self.fixed)
        check_names(of, [*self.space, *self.fixed])
        steps = fields.positive(f"{of}evaluations_per_step", self.evaluations_per_step)
        object.__setattr__(self, "evaluations_per_step", steps)
        if self.batches_per_step != "epoch":
            batches = fields.positive(f"{of}batches_per_step", self.batches_per_step)
            object.__setattr__(self, "batches_per_step", batches)
        if self.batch_size is not None:
            object.__setattr__(self, "batch_size", fields.positive(f"{of}batch_size", self.batch_size))
        for name in ("closure", "counted", "finds_lr"):
            fields.flag(f"{of}{name}", getattr(self, name))
        if self.counted and not self.closure:
            raise ValueError(f"{of}what is counted are the calls of a closure, so closure must be True")
        fields.text(f"{of}description", self.description)
        if not isinstance(self.estimators, tuple | list) or not all(isinstance(e, Estimator) for e in self.estimators):
            raise ValueError(
                f"{of}estimators must be a tuple of steepest.compare.Estimator objects, got {self.estimators!r}"
            )
        object.__setattr__(self, "estimators", tuple(self.estimators))
        if self.prepare is not None:
            fields.function(f"{of}prepare", self.prepare, "of the model")
        if self.schedule is not None and not isinstance(self.schedule, Schedule):
            raise ValueError(f"{of}schedule must be a steepest.compare.Schedule, got {self.schedule!r}")

        fields.table(f"{of}recipe", self.recipe)
        try:
            PLAIN.with_changes(self.recipe)
        except ValueError as error:
            raise ValueError(f"{of}recipe: {error}") from error

    @property
    def cost(self) -> int:
        """Gradient evaluations of a step; a method that pays two takes half as many steps as one that pays one.

        Raises:
            InputError: it takes the batches of an epoch, see :meth:`over`.
        """
        if self.batches_per_step == "epoch":
            raise InputError(f"{self.name} takes all batches of an epoch for a step, and here is no epoch")
        return self.evaluations_per_batch * self.batches_per_step

    @property
    def unit(self) -> int:
        """The gradient evaluations by which a run goes on: those of a step, or of a call of the closure that counts."""
        return self.cost // self.evaluations_per_step if self.counted else self.cost

    @property
    def evaluations_per_batch(self) -> int:
        """Gradient evaluations of each batch of a step."""
        return self.evaluations_per_step * max([1, *(e.evaluations_per_step for e in self.estimators)])

    @property
    def smallest_batch(self) -> int:
        """Fewest samples of a batch that the method can work with."""
        return max([1, *(e.smallest_batch for e in self.estimators)])

    def _check_estimators(self) -> None:
        for kind, what in (("points", "choose the points of evaluation"), ("calibration", "calibrate the gradient")):
            names = [e.name for e in self.estimators if e.kind == kind]
            if len(names) > 1:
                raise ValueError(f"{' and '.join(names)} both {what}; method {self.name!r} can have one of them")
        if self.estimators and self.counted:
            raise ValueError(
                f"method {self.name!r} calls its closure for the gradient of one loss at several points, which "
                f"{self.estimators[0].name} does not give; leave it out"
            )
        if self.estimators and self.evaluations_per_step > 1 and not self.closure:
            raise ValueError(
                f"method {self.name!r} pays {self.evaluations_per_step} evaluations a step without a closure, so that "
                f"{self.estimators[0].name} cannot obtain its gradients; evaluations_per_step must be 1"
            )

    def with_space(self, space: Mapping[str, Domain]) -> "Method":
        """The same with other ranges; what is searched is no longer fixed.

        Example:
            >>> from torch.optim import SGD
            >>> sgd = Method("sgd", SGD, space={"lr": Range(1e-3, 1.0)}, fixed={"momentum": 0.9})
            >>> sgd.with_space({"momentum": Range(0.8, 0.99, log=False)}).fixed
            {}
        """
        fixed = {name: value for name, value in self.fixed.items() if name not in space}
        return replace(self, space={**self.space, **space}, fixed=fixed)

    def over(self, batches: int) -> "Method":
        """The same where an epoch has so many batches.

        Example:
            >>> from torch.optim import Rprop
            >>> Method("rprop", Rprop, space={"lr": Range(1e-4, 1e-1)}, batches_per_step="epoch").over(30).cost
            30
        """
        return replace(self, batches_per_step=batches) if self.batches_per_step == "epoch" else self

    @property
    def patterns(self) -> list[str]:
        """Of parameters that may have values of their own."""
        owned = (own_of(name).pattern for name in (*self.space, *self.fixed))
        return list(dict.fromkeys(pattern for pattern in owned if pattern is not None))

    def build(self, model: nn.Module, searched: Mapping[str, Any]) -> Optimizer:
        """Make the optimizer of one run from the chosen values of the searched hyperparameters.

        Raises:
            InputError: a pattern of parameters matches none, or two match the same one.
        """
        if self.prepare is not None:
            self.prepare(model)
        options = {**self.fixed, **searched}
        patterns = [*self.patterns, *(p for name in searched if (p := own_of(name).pattern) is not None)]
        if patterns:
            groups = grouped(self.name, model, options, patterns)
            in_groups = {"weight_decay"} if options.get("weight_decay") else set()
            common = {n: v for n, v in options.items() if own_of(n).pattern is None and n not in in_groups}
            optimizer = self.optimizer(groups, **common)
            check_known(self.name, optimizer, options)
            return optimizer
        if options.get("weight_decay"):
            return self.optimizer(param_groups(model, options.pop("weight_decay")), **options)
        return self.optimizer(list(model.named_parameters()), **options)

"""What every method of a comparison may spend, in the unit of the study's budget."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from steepest._errors import InputError, argument
from steepest.compare.spec import Spec
from steepest.compare.study.request import Request
from steepest.compare.study.timing import measure_prices
from steepest.data import Splits
from steepest.training.code.user_code import told
from steepest.training.definitions.budget import over_epochs, steps_per_epoch
from steepest.training.definitions.method import Method
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.workload import Workload


def with_prices(spec: Spec, workload: Workload, splits: Splits, methods: Mapping[str, Method]) -> Spec:
    """Measure what a step of each method takes.

    Raises:
        InputError: it cannot be measured, or the seconds pay for no step of a method.
    """
    by_name = {method.name: method for method in methods.values()}
    threads = torch.get_num_threads()
    torch.set_num_threads(spec.threads)
    try:
        priced = replace(spec, prices=measure_prices(spec, workload, splits, by_name, spec.baseline))
    except Exception as error:  # whatever the user's code raises
        raise InputError(f"a step on {workload.name!r} could not be timed: {told(error)}") from error
    finally:
        torch.set_num_threads(threads)
    for frozen in priced.methods:
        if min(priced.budgets(frozen)) < priced.cost(frozen):
            took = priced.paid(frozen.name, priced.cost(frozen))
            raise InputError(
                f"a step of {frozen.name} takes {took:.3g} seconds, and a run has {priced.whole:.3g}; give more epochs"
            )
    return priced


def all_over_epochs(methods: Sequence[tuple[str, Method]], splits: Splits, size: int) -> list[tuple[str, Method]]:
    """List the methods as they are at a batch size."""
    found = []
    for reference, method in methods:
        batches = [steps_per_epoch(len(task.train), method.batch_size or size) for task in splits.tasks]
        found.append((reference, over_epochs(method, batches)))
    return found


def check_own_sizes(request: Request, methods: Sequence[Method]) -> None:
    """Refuse to count evaluations of different sizes as equal."""
    counted = next((m for m in methods if m.counted), None)
    if counted is not None and request.budget == "steps":
        raise InputError(
            f"{argument('budget')} must not be in steps for {counted.name}, whose steps differ in what they take"
        )
    own = next((m for m in methods if m.batch_size is not None), None)
    if own is not None and request.budget == "evaluations":
        raise InputError(
            f"{argument('budget')} must be samples, steps or seconds for {own.name}, whose gradient evaluations are of "
            f"{own.batch_size:,} samples whatever the others' are, got evaluations"
        )


def check_batch_size(batch_size: int, method: Method, ranks: int, recipe: Recipe) -> None:
    """Refuse a batch that cannot be divided as ranks, the method and the recipe divide it."""
    if batch_size % ranks:
        raise InputError(
            f"{argument('batch_size')} counts the samples of all {ranks} ranks and must divide by them, "
            f"got {batch_size}"
        )
    if batch_size < (fewest := ranks * method.smallest_batch):
        by = f" over {ranks} ranks" if ranks > 1 else ""
        raise InputError(
            f"{method.name} divides every batch{by} and needs at least {fewest} samples in it, got "
            f"batch size {batch_size}"
        )
    if batch_size < (pieces := fewest * recipe.with_changes(method.recipe).accumulate):
        raise InputError(
            f"{argument('accumulate')} cuts every batch of {method.name}, which must have at least {pieces} "
            f"samples for that, got batch size {batch_size}"
        )

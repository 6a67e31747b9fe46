"""What every run may spend, and what that is for each method, in words."""

from steepest.compare.analysis.summary import Summary
from steepest.compare.results.formats import format_count
from steepest.compare.spec import MethodSpec, Spec
from steepest.page.text import count, listed


def budget_sentence(spec: Spec) -> str:
    """The budget of a run, such as ``7,800 gradient evaluations``."""
    return f"{format_count(spec.whole)} {spec.unit}"


def data_sentence(spec: Spec) -> str:
    """What there is to train, validate and test on; of a function, what the study does not see."""
    workload = spec.workload
    if workload.is_function:
        return (
            "A function of the user's: it rests on that function that the steps of all methods take the same data and "
            "as many gradients, and that test data is no part of training. Equal are seeds, schedule and the count of "
            "steps; a gradient evaluation, or a sample, is here a step that pays one. Runs that were interrupted began "
            "anew."
        )
    return (
        f"{workload.train_samples:,} training, {workload.validation_samples:,} validation and "
        f"{workload.test_samples:,} test samples."
    )


def cost_notes(summary: Summary) -> list[str]:
    """A sentence for every price of a step that is not one gradient evaluation of the common size, with the steps that
    a run has."""
    spec = summary.spec
    methods = [row.method for row in summary.rows]
    if spec.prices is not None:
        return [_list_prices(spec, methods)]
    found = []
    most = max(spec.steps(method) for method in methods)
    prices = {m.name: (spec.cost(m), spec.batch_size_of(m)) for m in methods if not m.counted}
    for cost, size in sorted({*prices.values()} - {(1, spec.batch_size)}):
        these = [m for m in methods if prices.get(m.name) == (cost, size)]
        one = len(these) == 1
        pays = count(cost, "gradient evaluation")
        of_size = "" if size == spec.batch_size else f" of {size:,} samples"
        share = cost * size / spec.batch_size
        taken = "half" if share == 2 else f"1/{share:g}" if share > 1 else f"{1 / share:g} times"
        steps = f"and so {'takes' if one else 'take'} {taken} as many steps: {spec.steps(these[0]):,} of {most:,}"
        if spec.budget == "steps":
            steps = f"{sum(spec.budgets(these[0])):,} in all"
        names = listed([m.name for m in these], "and")
        found.append(f"{names} {'pays' if one else 'pay'} {pays}{of_size} per step, {steps}.")
    found += [
        f"{m.name} pays for the gradient evaluations that each of its steps takes, at most {spec.cost(m)}."
        for m in methods
        if m.counted
    ]
    return found


def _list_prices(spec: Spec, methods: list[MethodSpec]) -> str:
    """Tell how the seconds of the budget were turned into steps."""
    prices = spec.prices.steps if spec.prices else {}
    each = [f"{m.name} {1000 * prices[m.name]:.3g} ms, {spec.steps(m):,} steps" for m in methods]
    return (
        "Seconds are counted by what a step took when the study began, measured for all methods in turn on the same "
        f"machine: {'; '.join(each)}. So a run gives the same numbers on a busy machine and when it is resumed; what "
        "the runs really took is in the column of seconds."
    )

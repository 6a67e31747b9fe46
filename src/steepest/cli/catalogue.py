"""What there is to choose from, built in and installed; off a terminal it is the same text."""

from rich.console import Console

from steepest.cli.tables import plain_table
from steepest.compare.results.formats import format_options, format_ranges
from steepest.training.builtin import ESTIMATORS, INSTRUMENTS, METHODS, TEMPLATES, WORKLOADS
from steepest.training.code.installed import Kind, installed

_COMBINING = (
    "An estimator goes in front of any method: ssgd+sngm, csgd+adamw; alone it stands in front of sgd. One of csgd,\n"
    "csgd-lipschitz and csgd-learned goes with one of the others: csgd+ssgd+sngm. Those of orders are for\n"
    "workloads of orders, such as permutation-toy, and for no others: loo+adam."
)


def print_methods(out: Console) -> None:
    """The built-in methods, and the gradient estimators that go in front of them."""
    table = plain_table("method", "searched", "fixed", "what it is")
    for method in (method for name, method in METHODS.items() if name not in ESTIMATORS):
        searched = format_ranges(method.space)
        fixed = ", ".join(f"{name}={value}" for name, value in method.fixed.items())
        table.add_row(method.name, searched, fixed, method.description)
    out.print(table)
    table = plain_table("gradient estimator", "evaluations per step", "options", "what it is")
    for name, estimator in ESTIMATORS.items():
        cost = str(estimator.evaluations_per_step)
        table.add_row(name, cost, format_options(estimator.options), estimator.description)
    out.print()
    out.print(table)
    _print_installed(out, "method", "estimator")
    out.print(f"\n{_COMBINING}", highlight=False)
    out.print(
        "Your own: path/to/file.py:name, where name is a steepest.compare.Method, or an Estimator in front of a +.",
        highlight=False,
    )


def print_workloads(out: Console) -> None:
    """The built-in workloads, and those that are made from the user's data."""
    table = plain_table("workload", "batch size", "epochs", "target", "what it is")
    for workload in WORKLOADS.values():
        target = f"{100 * workload.target:g} %" if workload.percent else f"{workload.target:g}"
        sizes = (str(workload.batch_size), str(workload.epochs))
        table.add_row(workload.name, *sizes, f"{target} {workload.metric_name}", workload.description)
    out.print(table)
    table = plain_table("from your data", "example", "what it is")
    for template in TEMPLATES.values():
        table.add_row(template.usage, template.example, template.description)
    out.print()
    out.print(table)
    _print_installed(out, "workload")
    out.print("\nYour own: path/to/file.py:name, where name is a steepest.compare.Workload.", highlight=False)


def print_instruments(out: Console) -> None:
    """The built-in instruments."""
    table = plain_table("instrument", "when", "what it measures")
    for instrument in INSTRUMENTS.values():
        when = "at the end of final runs" if instrument.when == "end" else "after every validation"
        table.add_row(instrument.name, when, instrument.description)
    out.print(table)
    _print_installed(out, "instrument")
    out.print("\nYour own: path/to/file.py:name, where name is a steepest.compare.Instrument.", highlight=False)


def _print_installed(out: Console, *kinds: Kind) -> None:
    """Print what other installed packages offer; nothing of it is imported."""
    found = [(kind, point) for kind in kinds for point in installed(kind)]
    if not found:
        return
    table = plain_table("from installed packages", "kind", "package", "where")
    for kind, point in found:
        table.add_row(point.name, kind, point.dist.name if point.dist else "", point.value)
    out.print()
    out.print(table)

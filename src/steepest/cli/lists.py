"""``steepest methods``, ``steepest workloads`` and ``steepest instruments``."""

from steepest.cli.streams import out


def methods() -> None:
    """List the built-in methods with their search spaces, and the gradient estimators that go in front of them."""
    from steepest.cli.catalogue import print_methods

    print_methods(out())


def workloads() -> None:
    """List the built-in workloads, and those that are made from data of yours."""
    from steepest.cli.catalogue import print_workloads

    print_workloads(out())


def instruments() -> None:
    """List the built-in instruments, which --measure takes."""
    from steepest.cli.catalogue import print_instruments

    print_instruments(out())

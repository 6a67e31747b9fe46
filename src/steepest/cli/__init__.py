"""The command line: arguments in, text out; the work is done in `steepest.compare`.

What a command needs is imported when it runs: help and version need neither torch nor Optuna.
"""

from steepest.cli.app import app, run

__all__ = ["app", "run"]

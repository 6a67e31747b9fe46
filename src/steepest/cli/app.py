"""The commands together, and what their errors look like from outside: one sentence and an exit code."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from steepest._errors import InputError, StudyError, one_line
from steepest._version import __version__
from steepest.cli import lists
from steepest.cli.causal import causal
from steepest.cli.compare import StoppedError, compare
from steepest.cli.compress import compress
from steepest.cli.continual import continual
from steepest.cli.diagnose import diagnose
from steepest.cli.formulas import formulas
from steepest.cli.lr_range import lr_range
from steepest.cli.report import report
from steepest.cli.spiking import spiking
from steepest.cli.streams import err, guarded_output, never_fail_to_encode, out
from steepest.cli.theory import theory
from steepest.cli.watch import watch

# Newer typers carry a copy of click, older ones use the package: this is the base class of either's usage errors.
_UsageError: type[Exception] = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "UsageError")

app = typer.Typer(
    name="steepest",
    help="Better stochastic gradient descent for PyTorch, with the evidence.",
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(compare)
app.command()(diagnose)
app.command()(report)
app.command()(watch)
app.command("lr-range")(lr_range)
app.command()(causal)
app.command()(compress)
app.command()(spiking)
app.command()(continual)
app.add_typer(theory, name="theory")
app.add_typer(formulas, name="formulas")
app.command("list")(lists.studies)
app.command("methods")(lists.methods)
app.command("workloads")(lists.workloads)
app.command("instruments")(lists.instruments)


@app.callback(invoke_without_command=True)
def _main(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        out().print(f"steepest {__version__}", highlight=False)
        raise typer.Exit
    if context.invoked_subcommand is None:
        out().print(context.get_help(), markup=False, highlight=False)
        raise typer.Exit


def run(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit code: 0 done, 1 no result, 2 bad input, 130 interrupted."""
    never_fail_to_encode()
    try:
        with guarded_output():
            code = app(list(arguments), standalone_mode=False)
    except _UsageError as error:
        return _fail(_usage_sentence(error), 2)
    except InputError as error:
        return _fail(error.spelled(_flag), 2)
    except StudyError as error:
        return _fail(error.spelled(_flag), 1)
    except StoppedError as error:
        return _fail(str(error), 130)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    if code == 130:  # newer typers make this of a KeyboardInterrupt
        return _fail("interrupted", 130)
    return code if isinstance(code, int) else 0


def _flag(argument: str) -> str:
    return "--" + argument.replace("_", "-")


def _usage_sentence(error: Exception) -> str:
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    details = getattr(error.__cause__, "errors", None)  # of pydantic, which does not print the value
    value = f", got {details()[0].get('input')!r}" if callable(details) else ""
    return message.rstrip(".") + value


def _fail(sentence: str, code: int) -> int:
    sentence = one_line(sentence)
    end = "" if sentence.endswith((".", "?", ")")) else "."
    err().print(Text.assemble(("error: ", "bold red"), sentence + end))
    return code

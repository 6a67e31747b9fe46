"""The command `steepest`."""

import sys
from contextlib import suppress

from steepest._version import __version__


def main() -> None:
    """Run the command line; without the extra that it needs, say which."""
    if sys.argv[1:] == ["--version"]:  # which scripts ask often: typer alone takes longer than Python to start
        with suppress(OSError):  # what cannot be printed is told below
            print(f"steepest {__version__}", flush=True)
            sys.exit(0)
    try:
        import steepest.compare  # noqa: F401 - checks the extra, which brings typer too
        from steepest.cli import run
        from steepest.cli.streams import open_closed
    except ModuleNotFoundError as error:
        if sys.stderr is not None:
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while the libraries load
        sys.exit(130)
    open_closed()
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""The command `steepest`."""

import sys


def main() -> None:
    """Run the command line; without the extra that it needs, say which."""
    try:
        import steepest.compare  # noqa: F401 - checks the extra, which brings typer too
        from steepest.cli import run
    except ModuleNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:  # while the libraries load
        sys.exit(130)
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()

"""Options that several commands have."""

import typer

DATA_DIR = typer.Option(
    help="Where data files lie. Default: the environment variable STEEPEST_DATA.", show_default=False, metavar="DIR"
)

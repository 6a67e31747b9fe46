"""``steepest watch``."""

from pathlib import Path
from typing import Annotated

import typer

from steepest.cli.streams import out


def watch(
    folder: Annotated[Path, typer.Argument(help="The folder of a study, running or not.", metavar="DIR")],
    port: Annotated[int, typer.Option(help="0 for any that is free.")] = 0,
    host: Annotated[str, typer.Option(help="Who reaches this address can read the page.")] = "127.0.0.1",
) -> None:
    """Serve a study's report while it runs; the page renews itself. Nothing is written. Ctrl-C ends it."""
    from steepest.compare.report.watch import serve

    def tell(address: str) -> None:
        out().print(f"{address} shows the study; Ctrl-C ends.", highlight=False)

    serve(folder, port, host, ready=tell)

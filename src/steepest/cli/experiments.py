"""What the commands of experiments share: a bar while they run, and what they print in the end."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steepest.cli.streams import err, out

if TYPE_CHECKING:
    from steepest.page.story import Story


class Bar:
    """Draw a bar on the terminal while simulations run."""

    def __init__(self) -> None:
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("[bold]{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
        console = err()
        self._bars = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("", total=1.0)

    def __enter__(self) -> "Bar":
        self._bars.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._bars.stop()

    def show(self, name: str, share: float) -> None:
        self._bars.update(self._task, description=name, completed=share)


def tell(
    folder: Path,
    story: "Story",
    template: str = "story.html.j2",
    package: str = "steepest.page",
    files: Sequence[str] = (),
    **said: Any,
) -> int:
    """Write the page, and print what it says first; see :func:`steepest.page.story.write_story`."""
    from steepest.page.story import write_story

    page = write_story(folder, story, shlex.join(["steepest", *sys.argv[1:]]), template, package, files, **said)
    printed = out()
    for sentence in (story.headline, *story.sentences):
        printed.print(sentence, highlight=False, markup=False)
    printed.print(f"Page: {page}", highlight=False, markup=False, soft_wrap=True)
    return 0

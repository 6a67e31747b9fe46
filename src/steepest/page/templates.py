"""Templates of a page: those of its room, and the frame that all pages share."""

from typing import Any

import jinja2
from markupsafe import Markup

from steepest.page.swatch import swatch
from steepest.page.text import count, harmless, markdown, markdown_code


def templates(package: str, *, escape: bool) -> jinja2.Environment:
    """The templates of a package and those of every page, compiled once each.

    Args:
        package: its folder ``templates`` is looked into first.
        escape: for HTML; everything that comes from a user is escaped.
    """
    found = jinja2.Environment(
        loader=jinja2.ChoiceLoader([jinja2.PackageLoader(package), jinja2.PackageLoader("steepest.page")]),
        autoescape=escape,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_show_harmless,
        auto_reload=False,
    )
    found.filters.update(cell=markdown, code=markdown_code, count=count, swatch=swatch)
    return found


def _show_harmless(value: Any) -> Any:
    return harmless(value) if isinstance(value, str) and not isinstance(value, Markup) else value

"""Formulas as MathML, which browsers set themselves: no script, no fonts, nothing to fetch.

The pages write them as GitHub reads them too: ```math for a block, $`x`$ within a line.
"""

import re

from latex2mathml.converter import convert
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor
from mkdocs.config.defaults import MkDocsConfig
from pymdownx.superfences import SuperFencesException

from markdown import Markdown

# Before code spans, which have 190 in Markdown.
_PRIORITY = 191


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Teach the site's Markdown both forms."""
    config.markdown_extensions.append(_Inline())  # Markdown takes objects as well as names
    fence = {"name": "math", "class": "math", "format": _set_block}
    config.mdx_configs.setdefault("pymdownx.superfences", {})["custom_fences"] = [fence]
    return config


def _set_block(source: str, *_: object, **__: object) -> str:
    try:
        return f'<div class="formula">{_convert(source, "block")}</div>'
    except ValueError as error:
        raise SuperFencesException(str(error)) from error  # any other would make code of the formula, silently


def _convert(source: str, display: str) -> str:
    """The formula as MathML; a sign that is not understood ends the build.

    Raises:
        ValueError: an ampersand or a backslash came through, as it does from an environment that the converter lacks.
    """
    formula = convert(source.strip(), display=display)
    if left := re.search(r"[>\s](&(?!#)|\\)", formula):
        raise ValueError(f"the formula has a {left[1]} that was not understood: {source}")
    return formula


class _InlineMath(InlineProcessor):
    def handleMatch(self, m, data):  # noqa: N802 - Markdown's name
        return self.md.htmlStash.store(_convert(m[1], "inline")), m.start(0), m.end(0)


class _Inline(Extension):
    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802 - Markdown's name
        md.inlinePatterns.register(_InlineMath(r"\$`([^`]+)`\$", md), "formula", _PRIORITY)

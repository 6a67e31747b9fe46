"""The docstrings, written for a terminal, as Markdown: Sphinx roles become links, doctests become code."""

import re

import griffe

ROLE = re.compile(r":(?:class|func|meth|attr|mod):`~?([\w.]+)`")


class ToMarkdown(griffe.Extension):
    """Rewrites every docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: object) -> None:
        if obj.docstring:
            obj.docstring.value = as_markdown(obj.docstring.value, obj)


def as_markdown(text: str, obj: griffe.Object) -> str:
    """The text with links for roles, without reStructuredText's directives, its examples in a section that is code."""
    text = ROLE.sub(lambda role: link(role[1], obj), text)
    return text.replace(".. code-block:: text\n\n", "").replace("Example:\n", "Examples:\n")


def link(name: str, obj: griffe.Object) -> str:
    """A link to what is called that way, seen from the object; mere code where the reference does not show it."""
    owner = obj if obj.is_class or obj.is_module else obj.parent
    inside = owner is not None and name.partition(".")[0] in owner.members
    target = name if name.startswith("steepest.") else f"{owner.path if inside else 'steepest'}.{name}"
    return f'<autoref identifier="{target}" optional><code>{name.rpartition(".")[2]}</code></autoref>'

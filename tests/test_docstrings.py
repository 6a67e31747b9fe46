"""Docstrings of private code begin with a verb in the imperative, as PEP 257 says.

ruff's D401 asks the same of public functions, whose docstrings here say what they return, and of no class.
"""

import ast

from tests.markdown import ROOT

SOURCE = ROOT / "src"
WORDS = """
    a all an any as at because before below besides both by each every for from he how if in it its just like many more
    most no nobody none not nothing now of off on one only other others our out such than that the their them then there
    these they this those to two until what whatever when where whether which while who whoever whose why with within
    without you
    adam autograd bytes ctrl-c everything gradient gradients numbers numpy ray samples seconds tensor tensors text torch
    values weights workloads
    calls checks counts draws finds gives holds keeps lists makes moves puts raises reads refuses returns runs says
    sends takes tells writes yields
"""
NO_VERBS = set(WORDS.split())


def private_definitions(node, private=False):
    """Yield functions and classes whose name begins with one underscore, and what lies in them or in any function."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from private_definitions(child, private)
            continue
        name = child.name
        own = name.startswith("_") and not name.startswith("__")
        if private or own:
            yield child
        yield from private_definitions(child, private or own or not isinstance(child, ast.ClassDef))


def first_word(definition):
    """Return the first word of a docstring in lower case, without the marks around it; nothing where there is none."""
    words = (ast.get_docstring(definition) or "").split()
    return words[0].strip("`*:.,;()\"'").lower() if words else None


def faults(path, source):
    """List the places in a source where a private docstring begins with a word that is no verb."""
    return [
        f"{path}:{definition.lineno} {definition.name}: {ast.get_docstring(definition).splitlines()[0]}"
        for definition in private_definitions(ast.parse(source))
        if first_word(definition) in NO_VERBS
    ]


def test_private_docstrings_begin_with_a_verb():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        found += faults(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    assert not found, "begin with a verb in the imperative (Find, Say whether, Return):\n" + "\n".join(found)


def test_the_rule_sees_functions_methods_classes_and_what_lies_within():
    source = (
        'def _f():\n    """The sum."""\n'
        'class Shown:\n    """The class."""\n    def _g(self):\n        """``None`` where it is gone."""\n'
        'def shown():\n    """The public one."""\n    def inner():\n        """Whether it is."""\n'
        'class _Hidden:\n    """Keep a value."""\n    def value(self):\n        """What it is."""\n'
        "def _bare():\n    return 1\n"
    )
    assert [fault.partition(":")[2].partition(":")[0] for fault in faults("x", source)] == [
        "1 _f",
        "5 _g",
        "9 inner",
        "13 value",
    ]

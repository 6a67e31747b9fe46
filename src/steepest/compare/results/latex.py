"""A study's tables for a paper: LaTeX with the rules of the package booktabs."""

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from steepest._errors import InputError, StudyError, argument
from steepest._files import write_atomically
from steepest.compare.analysis.profiles import across, comparable
from steepest.compare.analysis.summary import Summary
from steepest.compare.results import tables
from steepest.compare.results.columns import (
    format_pair,
    method_columns,
    pair_columns,
    pairs_of,
    result_columns,
    task_columns,
    trust_columns,
)
from steepest.compare.results.formats import format_difference, format_evaluations, format_ratio, format_target
from steepest.page.table import Column
from steepest.page.text import harmless

WHOLE = "tables.tex"
_SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{sign: f"{{{sign}}}" for sign in "[]*"},  # after the end of a row they would be its options
    "\N{NO-BREAK SPACE}": "~",
    "\N{INFINITY}": r"$\infty$",
    "\N{DOWNWARDS ARROW}": r"$\downarrow$",
    "\N{PLUS-MINUS SIGN}": r"$\pm$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": "$-$",
    "\N{HORIZONTAL ELLIPSIS}": r"\ldots{}",
}
_MINUS = re.compile(r"(?<![\w.)])([-+])(?=\.?\d)")
_DOCUMENT = r"""\documentclass{{article}}
\usepackage[T1]{{fontenc}}
\usepackage{{booktabs}}
\usepackage[landscape,margin=1cm]{{geometry}}
\begin{{document}}
\tiny
{inputs}
\end{{document}}
"""
Lines = Sequence[Sequence[str]]


def export_latex(summaries: Sequence[Summary], into: Path) -> list[Path]:
    """Write the tables of the report, each as a ``tabular`` with booktabs' rules in a file to ``\\input``, and
    ``tables.tex``, a document with all of them; returns their paths. Files of these names are replaced.

    Of several comparisons the files' names begin with theirs.

    Args:
        into: a folder, made if it is not there.

    Raises:
        InputError: there is a file in the folder's place.
        StudyError: it cannot be written.
    """
    found = dict(_name_all(summaries))
    if into.exists() and not into.is_dir():
        raise InputError(f"{argument('latex')} must be a folder, got the file {str(into)!r}")
    inputs = "\n\n".join(rf"\noindent\input{{{name.removesuffix('.tex')}}}" for name in found)
    try:
        into.mkdir(parents=True, exist_ok=True)
        for name, text in {**found, WHOLE: _DOCUMENT.format(inputs=inputs)}.items():
            write_atomically(into / name, text.rstrip() + "\n")
    except OSError as error:
        raise StudyError(f"the tables could not be written to {str(into)!r} ({error.strerror})") from error
    return [into / name for name in (*found, WHOLE)]


def escape_latex(text: object) -> str:
    """A text in one line of LaTeX, with no character that means something there; a sign before a number is a minus.

    Example:
        >>> print(escape_latex("50 % of a_b & c: -0.3 to \\u221e"))
        50 \\% of a\\_b \\& c: $-$0.3 to $\\infty$
    """
    line = " ".join(harmless(str(text)).split("\n"))
    parts = _MINUS.split(line)  # every second one is a sign of a number
    told = ["".join(_SIGNS.get(sign, sign) for sign in part).replace("--", "-{}-") for part in parts]
    told[1::2] = [f"${sign}$" for sign in parts[1::2]]
    return "".join(told).strip()


def tabular(lines: Lines, left: Sequence[bool]) -> str:
    """A table; the first line is its heading.

    Args:
        left: whether a column stands to the left, for each.

    Example:
        >>> print(tabular([["method", "loss"], ["sgd", "-0.5"]], [True, False]))
        % \\usepackage{booktabs}
        \\begin{tabular}{lr}
        \\toprule
        method & loss \\\\
        \\midrule
        sgd & $-$0.5 \\\\
        \\bottomrule
        \\end{tabular}
    """
    heading, *rows = [" & ".join(map(escape_latex, line)) + r" \\" for line in lines]
    columns = "".join("l" if each else "r" for each in left)
    body = [r"\toprule", heading, r"\midrule", *rows, r"\bottomrule"]
    return "\n".join([r"% \usepackage{booktabs}", rf"\begin{{tabular}}{{{columns}}}", *body, r"\end{tabular}"])


def _name_all(summaries: Sequence[Summary]) -> Iterable[tuple[str, str]]:
    """Yield the tables by the names of their files."""
    several = len(summaries) > 1
    if several:
        yield "overview.tex", _make_overview(summaries)
    if comparable(summaries):
        yield "across.tex", _make_across(summaries)
    seen: dict[str, int] = {}
    for summary in summaries:
        plain = re.sub(r"[^A-Za-z0-9.+=-]+", "-", summary.spec.name).strip(".-") or "comparison"
        seen[plain] = seen.get(plain, 0) + 1
        prefix = f"{plain}{f'-{seen[plain]}' if seen[plain] > 1 else ''}-" if several else ""
        for name, text in _of_one(summary):
            yield f"{prefix}{name}.tex", text


def _of_one(summary: Summary) -> Iterable[tuple[str, str]]:
    def by_method(columns: Sequence[Column[Any]]) -> str:
        return _make_table(columns, summary.rows, "method", lambda row: row.method.name)

    yield "results", by_method(result_columns(summary))
    if summary.spec.workload.tasks:
        yield "tasks", by_method(task_columns(summary))
    if len(summary.spec.targets) > 1:
        yield "targets", _make_targets(summary)
    if found := pairs_of(summary):
        yield "pairs", _make_table(pair_columns(summary), found, "methods", format_pair)
    yield "trust", by_method(trust_columns(summary))
    yield "methods", by_method(method_columns(summary))


def _make_table(columns: Sequence[Column[Any]], rows: Sequence[Any], first: str, name: Callable[[Any], str]) -> str:
    """Make a table of what the Markdown of the report has."""
    plains = [plain for column in columns for plain in column.markdown]
    lines = [[first, *(plain.heading for plain in plains)]]
    lines += [[name(row), *(plain.text(row) for plain in plains)] for row in rows]
    numbers = [all(_is_number(line[i]) for line in lines[1:]) for i in range(1, len(plains) + 1)]
    return tabular(lines, [True, *(not number for number in numbers)])


def _is_number(text: str) -> bool:
    return not text or text in ("-", "\N{INFINITY}") or re.match(r"[-+]?\d", text) is not None


def _make_targets(summary: Summary) -> str:
    spec = summary.spec
    lines = [["method", *(format_target(spec, target) for target in spec.targets)]]
    for row in summary.rows:
        cells = tables.to_targets(spec, row).values()
        lines.append([row.method.name, *(f"{format_evaluations(m)} ({got}/{of})" for m, got, of in cells)])
    return tabular(lines, [True, *(False for _ in spec.targets)])


def _make_overview(summaries: Sequence[Summary]) -> str:
    baseline = summaries[0].spec.baseline
    lines = [[f"difference to {baseline}", *(summary.spec.name for summary in summaries)]]
    for method, rows in tables.by_method(summaries).items():
        cells = zip(rows, summaries, strict=True)
        told = [f"{format_difference(s.spec, r.comparison.difference)} ({r.comparison.verdict})" for r, s in cells]
        lines.append([method, *told])
    return tabular(lines, [True for _ in lines[0]])


def _make_across(summaries: Sequence[Summary]) -> str:
    baseline = summaries[0].spec.baseline
    lines = [["method", "score", f"evaluations over {baseline}'s", "over the fewest", "targets reached"]]
    for row in across(summaries, baseline):
        ratios = [format_ratio(row.geometric_mean), format_ratio(row.median)]
        lines.append([row.method, f"{row.score:.3f}", *ratios, f"{row.reached} of {len(row.costs)}"])
    return tabular(lines, [True, False, False, False, False])

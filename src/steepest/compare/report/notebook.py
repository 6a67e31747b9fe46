"""A study's result as a notebook shows it: the verdicts and the table, without a script."""

from collections.abc import Sequence

from markupsafe import Markup

from steepest.compare.analysis.summary import Summary
from steepest.compare.results.columns import result_columns
from steepest.compare.results.sentences import verdict_sentence
from steepest.page.text import harmless

_CELL = Markup('<td style="text-align: {}">{}</td>')
_HEAD = Markup('<th style="text-align: {}">{}</th>')


def result_html(summaries: Sequence[Summary]) -> str:
    """What :func:`~steepest.cli.messages.print_result` prints first, as HTML; all that is a user's is escaped."""
    parts = []
    for summary in summaries:
        several = len(summaries) > 1
        name = Markup("<h4>{}</h4>").format(harmless(summary.spec.name)) if several else Markup()
        parts.append(name + Markup("<p>{}</p>").format(harmless(verdict_sentence(summary))) + _make_table(summary))
    finished, planned = (sum(getattr(s, name) for s in summaries) for name in ("finished", "planned"))
    left = Markup("<p><em>Unfinished: {} of {} runs are finished.</em></p>").format(finished, planned)
    return str(Markup("").join([*parts, *([left] if finished < planned else [])]))


def _make_table(summary: Summary) -> Markup:
    plains = [plain for column in result_columns(summary) for plain in column.terminal]
    sides = ["left" if plain.left else "right" for plain in plains]
    heads = [_HEAD.format("left", "method"), *(_HEAD.format(s, p.heading) for s, p in zip(sides, plains, strict=True))]
    rows = [Markup("<tr>{}</tr>").format(Markup("").join(heads))]
    for row in summary.rows:
        cells = [_CELL.format("left", harmless(row.method.name))]
        cells += [_CELL.format(side, harmless(p.text(row))) for side, p in zip(sides, plains, strict=True)]
        rows.append(Markup("<tr>{}</tr>").format(Markup("").join(cells)))
    return Markup("<table>{}</table>").format(Markup("").join(rows))

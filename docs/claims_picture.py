"""A picture of the claims, drawn from the tables on their page: a row of it for each difference in points."""

import math
import re
from typing import NamedTuple

_MARK = "<!-- the picture of the claims -->"
_DIFFERENCE = re.compile(r"([+-]\d+(?:\.\d+)?)(?: points)? \((-?\d+(?:\.\d+)?) to (-?\d+(?:\.\d+)?)\)")
_TICKS = (-30, -10, -3, -1, 0, 1, 3, 10, 30)
_FARTHEST = 100.0


class Row(NamedTuple):
    """A claim, its verdict, and differences in points, each with the ends of its interval."""

    claim: str
    verdict: str
    differences: tuple[tuple[float, float, float], ...]


def on_page_markdown(markdown: str, **_: object) -> str:
    """Put the picture in the place of the mark."""
    return markdown.replace(_MARK, _draw(read_rows(markdown))) if _MARK in markdown else markdown


def read_rows(markdown: str) -> dict[str, list[Row]]:
    """The rows that can be drawn, by the heading of their table."""
    found: dict[str, list[Row]] = {}
    heading = ""
    for line in markdown.splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.split("|")]  # of four columns, and what is outside
        verdict = re.match(r"\*\*([a-z ]+)\*\*", cells[2]) if len(cells) == 6 else None
        if verdict and (seen := _DIFFERENCE.findall(cells[3])):
            differences = tuple((float(a), float(b), float(c)) for a, b, c in seen)
            found.setdefault(heading, []).append(Row(cells[1], verdict[1], differences))
    return found


def _place(points: float) -> float:
    """Find where points lie, in hundredths of the width: the middle is 0, beyond it logarithms."""
    return 50 + 50 * math.asinh(points) / math.asinh(_FARTHEST)


def _draw(rows: dict[str, list[Row]]) -> str:
    scale = "".join(f'<i style="left:{_place(tick):.1f}%">{_write(tick)}</i>' for tick in _TICKS)
    lines = [f'<div class="claim"><span></span><div class="scale">{scale}</div></div>']
    for heading, those in rows.items():
        lines.append(f'<p class="of">{heading.partition(":")[0]}</p>')
        lines += [_draw_row(row) for row in those]
    return f'<div class="claims">{"".join(lines)}</div>\n'


def _draw_row(row: Row) -> str:
    grid = "".join(f'<u style="left:{_place(tick):.1f}%"></u>' for tick in _TICKS)
    kind = row.verdict.replace(" ", "-")
    bars = "".join(_draw_bar(kind, *difference) for difference in row.differences)
    return f'<div class="claim {kind}"><span>{row.claim} <em>{row.verdict}</em></span><div>{grid}{bars}</div></div>'


def _draw_bar(kind: str, value: float, low: float, high: float) -> str:
    """Draw a difference; in a row that is opposite by others, one that is none is in no colour."""
    none = ' class="none"' if kind == "opposite" and low <= 0 <= high else ""
    return (
        f'<div{none} title="{_write(value)} ({_write(low)} to {_write(high)})">'
        f'<b style="left:{_place(low):.2f}%;width:{_place(high) - _place(low):.2f}%"></b>'
        f'<s style="left:{_place(value):.2f}%"></s></div>'
    )


def _write(value: float) -> str:
    """Write a number with its sign, a true minus."""
    return f"{value:+g}".replace("-", "\N{MINUS SIGN}") if value else "0"

"""A method's line and marker as a small picture, the same in the legend, the tables and the figures."""

from markupsafe import Markup

from steepest.page.look import Look

_WIDTH, _HEIGHT = 30, 12
# Lengths of dash and gap: Plotly's own dashes, for a line 2 wide.
_DASHES = {
    "solid": "",
    "dash": "6 4",
    "dashdot": "6 3 2 3",
    "longdash": "10 4",
    "longdashdot": "10 3 2 3",
    "dot": "2 3",
}
_OUTLINES = {
    "circle": "M19 6a4 4 0 1 1-8 0a4 4 0 1 1 8 0z",
    "square": "M11.5 2.5h7v7h-7z",
    "diamond": "M15 1l5 5-5 5-5-5z",
    "cross": "M13.4 1.5h3.2v2.9h2.9v3.2h-2.9v2.9h-3.2V7.6h-2.9V4.4h2.9z",
    "triangle-up": "M15 1.5l4.8 8.5h-9.6z",
    "star": "M15 .8l1.3 3.6 3.8.1-3 2.4 1.1 3.7-3.2-2.2-3.2 2.2 1.1-3.7-3-2.4 3.8-.1z",
    "hexagon": "M15 1.2l4.2 2.4v4.8L15 10.8l-4.2-2.4V3.6z",
}


def swatch(look: Look) -> Markup:
    """The picture as SVG, to stand before the method's name, which says all that it says."""
    dash = _DASHES[look.dash]
    return Markup(
        '<svg class="swatch" width="{0}" height="{1}" viewBox="0 0 {0} {1}" aria-hidden="true">'
        '<path d="M0 6h{0}" stroke="{2}" stroke-width="2"{3}/><path d="{4}" fill="{2}"/></svg>'
    ).format(
        _WIDTH,
        _HEIGHT,
        look.colour,
        Markup(' stroke-dasharray="{}"').format(dash) if dash else "",
        _OUTLINES[look.symbol],
    )

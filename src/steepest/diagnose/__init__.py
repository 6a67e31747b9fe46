"""One run looked at closely: trained with the instruments on, and shown on a page."""

from steepest._errors import check_extra

check_extra("compare", "numpy", "plotly", "jinja2", "rich", "typer")

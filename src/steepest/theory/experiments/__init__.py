"""A prediction and the simulation that checks it, in a folder, on a page."""

from steepest._errors import check_extra

check_extra("compare", "numpy", "scipy", "plotly", "jinja2", "rich", "typer")

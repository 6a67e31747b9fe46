"""Which variable causes which: the best graph over orders, learnt from a table of data by gradients through orders."""

from steepest._errors import check_extra

check_extra("causal", "networkx", "numpy", "pandas", "scipy", "sklearn")

from steepest.causal.classes import sid_bounds  # noqa: E402
from steepest.causal.graphs import cpdag, f1, shd, sid  # noqa: E402
from steepest.causal.order import CausalOrder  # noqa: E402

__all__ = ["CausalOrder", "cpdag", "f1", "shd", "sid", "sid_bounds"]

"""Which variable causes which: the best graph over orders, learnt from a table of data by gradients through orders."""

from steepest._errors import check_extra

check_extra("causal", "networkx", "numpy", "pandas", "scipy", "sklearn")

"""SNGM searched where the learning rate is higher than the built-in method goes: 0.01 to 10 in place of 0.001 to 1.

steepest compare studies/sngm-range.toml --data-dir DIR

The same by the built-in one: `--lr-range sngm=0.01:10`. What came out is on docs/methods/sngm.md.
"""

from steepest import SNGM
from steepest.compare import Method, Range

higher = Method("sngm-higher", SNGM, {"lr": Range(1e-2, 10.0)}, {"momentum": 0.9, "weight_decay": 0.0})

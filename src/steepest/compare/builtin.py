"""The place of :mod:`steepest.training.builtin` in earlier releases."""

import sys

from steepest.training import builtin

sys.modules[__name__] = builtin

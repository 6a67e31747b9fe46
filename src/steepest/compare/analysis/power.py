"""What a test could have seen: the difference that a number of seeds can find."""

import math

import scipy.special

from steepest.compare.analysis.statistics import CONFIDENCE

POWER = 0.8


def detectable_difference(spread: float, pairs: int, comparisons: int = 1) -> float:
    """The smallest true difference that the paired t-test finds with probability 0.8, in the unit of ``spread``.

    Holm's correction asks most of the first method to be found, a p-value below 0.05 / ``comparisons``, and that is
    what is counted with: where others are found too, somewhat less is enough. A difference of the wrong sign being
    found is left out; its probability is below 0.001. The spread is itself an estimate: from three seeds it may be half
    or six times the true one, from ten 0.7 to 1.8 times.

    Args:
        spread: standard deviation of the paired differences.
        pairs: seeds that both methods finished.
        comparisons: p-values that are corrected together.

    Raises:
        ValueError: there are fewer than two pairs, or no comparison.

    Source: the noncentral t distribution; J. Cohen, "Statistical power analysis for the behavioral sciences" (1988),
    section 2.3; ``scipy.special.nctdtrinc``.

    Example:
        >>> f"{detectable_difference(1.0, 5):.2f} {detectable_difference(1.0, 10):.2f}"
        '1.68 1.00'
    """
    if pairs < 2 or comparisons < 1:
        raise ValueError(f"it takes at least 2 pairs and 1 comparison, got {pairs} and {comparisons}")
    critical = -scipy.special.stdtrit(pairs - 1, (1 - CONFIDENCE) / comparisons / 2)
    return spread * float(scipy.special.nctdtrinc(pairs - 1, 1 - POWER, critical)) / math.sqrt(pairs)

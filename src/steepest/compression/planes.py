import math


def bound_bits(s: float) -> float:
    return -sum(p * math.log2(p) for p in (s, 1 - s) if p > 0) + 1 - s

"""Symbols whose ink meets, taken apart."""

from collections.abc import Sequence

from steepest.formulas.image.boxes import Part


def split_parts(parts: Sequence[Part], height: float) -> list[Part]:
    """The symbols of a line."""
    return list(parts)

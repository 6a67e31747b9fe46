"""Handwritten formulas of first-order logic to text."""

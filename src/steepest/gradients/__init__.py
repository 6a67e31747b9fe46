"""Other ways to obtain the gradient; each composes with every optimizer, ours or torch's."""

from steepest.gradients.normalize import NormalizedGradients, normalize_gradients

__all__ = ["NormalizedGradients", "normalize_gradients"]

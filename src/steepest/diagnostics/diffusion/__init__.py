"""The noise of SGD as geometry, of models of up to some hundred weights."""

from steepest.diagnostics.diffusion.clouds import Cloud, diffusion_paths, sgd_paths
from steepest.diagnostics.diffusion.metric import DiffusionMetric
from steepest.diagnostics.diffusion.paths import Path, geodesic, geodesic_rk4, gradient_flow, reduced_geodesic

__all__ = [
    "Cloud",
    "DiffusionMetric",
    "Path",
    "diffusion_paths",
    "geodesic",
    "geodesic_rk4",
    "gradient_flow",
    "reduced_geodesic",
    "sgd_paths",
]

"""What the loss and its gradient look like where the weights stand; nothing here changes a model."""

from steepest.diagnostics.batch_tests import BatchSizeTest, inner_product_test, norm_test
from steepest.diagnostics.covariance import Covariance, gradient_covariance
from steepest.diagnostics.density import Density, DensityCurve, hessian_density
from steepest.diagnostics.lanczos import HessianEigenvalue
from steepest.diagnostics.loss_surface import LossLine, LossPlane, loss_along, loss_plane
from steepest.diagnostics.noise_scale import NoiseScale, gradient_noise_scale
from steepest.diagnostics.sam import SamSharpness, sam_sharpness
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.diagnostics.spectrum import Eigenvalues, hessian_eigenvalues
from steepest.diagnostics.trace import Trace, hessian_trace
from steepest.diagnostics.watch import Watch

__all__ = [
    "BatchSizeTest",
    "Covariance",
    "Density",
    "DensityCurve",
    "Eigenvalues",
    "HessianEigenvalue",
    "LossLine",
    "LossPlane",
    "NoiseScale",
    "SamSharpness",
    "Trace",
    "Watch",
    "gradient_covariance",
    "gradient_noise_scale",
    "hessian_density",
    "hessian_eigenvalues",
    "hessian_trace",
    "inner_product_test",
    "largest_hessian_eigenvalue",
    "loss_along",
    "loss_plane",
    "norm_test",
    "sam_sharpness",
]

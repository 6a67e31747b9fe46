"""Eigenvalues at the ends of a loss's curvature matrix, with their vectors."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.diagnostics.lanczos import Which, eigenpairs
from steepest.diagnostics.products import MATRICES, Matrix, product_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, between, generator_of, one_of, whole


class Eigenvalues(NamedTuple):
    """What :func:`hessian_eigenvalues` found.

    ``eigenvalues``: float64, descending, below 0 where the loss curves downwards. ``residuals``: ``||M v - value v||``
    for each one's unit vector, computed anew at the end: some eigenvalue lies within that distance. ``vectors``: these
    vectors, (k, weights), on the model's device. ``iterations``: Lanczos steps. ``converged``: whether the search ended
    by itself, and the residuals are within the tolerance. ``samples`` in the data, ``passes`` over them, ``seconds``.
    """

    eigenvalues: Tensor
    residuals: Tensor
    vectors: Tensor
    shapes: dict[str, torch.Size]
    iterations: int
    converged: bool
    samples: int
    passes: int
    seconds: float

    def eigenvectors(self) -> dict[str, Tensor]:
        """The unit vectors by the parameters' names: of each, (k, \\*shape of the parameter)."""
        return by_name(self.vectors, self.shapes)


def by_name(vectors: Tensor, shapes: dict[str, torch.Size]) -> dict[str, Tensor]:
    """Rows of flat vectors (k, weights) by the parameters' names."""
    pieces = torch.split(vectors, [shape.numel() for shape in shapes.values()], dim=1)
    return {name: piece.reshape(-1, *shape) for (name, shape), piece in zip(shapes.items(), pieces, strict=True)}


def hessian_eigenvalues(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    k: int = 1,
    *,
    which: Which = "largest",
    matrix: Matrix = "hessian",
    params: Filter | None = None,
    iterations: int = 200,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> Eigenvalues:
    r"""The ``k`` largest or smallest eigenvalues of the Hessian of the mean loss, or of a matrix near to it.

    .. code-block:: text

        hessian    H = the second derivative of L,  the mean loss over all samples
        ggn        G = mean over samples of  J' (d2 loss / d outputs^2) J       J = d outputs / d weights
        fisher     F = mean over samples of  g g'                               g = the sample's gradient

    Largest and smallest are meant algebraically, with their signs. The generalised Gauss-Newton matrix leaves out the
    curvature of the network itself, and is never negative for a convex loss; with cross-entropy on logits it is the
    Fisher information. The last is its empirical form, of the gradients at the true targets. None is ever formed.

    The model runs in evaluation mode, and is left as it was, as for :func:`largest_hessian_eigenvalue`, whose process
    this is. Of a multiple eigenvalue it finds one copy, and the others only once the rest of the spectrum is used
    up: for all of them, in a small model, give a small ``tolerance``; in a large one, ``converged`` does not tell.

    **Cost**: at most ``iterations + k`` passes (twice ``k`` for both ends), each as dear as three to five gradients,
    and one copy of the chosen parameters for each iteration. The Fisher matrix takes every sample's gradient by itself.

    Args:
        model: as for :func:`largest_hessian_eigenvalue`, and so are ``loss_fn``, ``data`` and ``params``.
        k: how many, at least 1; never more than parameters.
        which: ``"largest"``, ``"smallest"``, or ``"both"`` for ``k`` at either end.
        matrix: ``"hessian"``, ``"ggn"`` or ``"fisher"``.
        iterations: the most Lanczos steps, at least as many as eigenvalues.
        tolerance: in (0, 1); ends the search when every residual is at most so many times the largest absolute value of
            those sought, or rounding error.
        seed: of the random start vector, which is the same on every device.

    Returns:
        :class:`Eigenvalues`. Not having converged is not an error.

    Raises:
        TypeError: an argument is of the wrong kind; ``loss_fn`` does not take what the model returns.
        ValueError: an argument is out of range, nothing is trainable or chosen, there are no samples.
        RuntimeError: as for :func:`largest_hessian_eigenvalue`; for ``"ggn"``, the loss is linear in the outputs.

    Source: Lanczos, J. Res. Nat. Bur. Stand. 45 (1950); Pearlmutter, Neural Computation 6 (1994); Schraudolph, "Fast
    curvature matrix-vector products for second-order gradient descent", Neural Computation 14 (2002).

    Example:
        >>> import torch
        >>> line = nn.Linear(2, 1, bias=False)
        >>> inputs, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> found = hessian_eigenvalues(line, nn.MSELoss(), [(inputs, targets)], k=2)
        >>> [round(value, 4) for value in found.eigenvalues.tolist()]  # of 2/n X'X = diag(9, 1)
        [9.0, 1.0]
    """
    subject = Subject(model, loss_fn, data, params)
    k = min(whole("k", k, 1), subject.size)
    one_of("which", which, ("largest", "smallest", "both"))
    one_of("matrix", matrix, MATRICES)
    whole("iterations", iterations, min(2 * k if which == "both" else k, subject.size))
    between("tolerance", tolerance, 0, 1)
    generator = generator_of(seed)
    start = subject.draw(generator)
    redraw = (lambda: subject.draw(generator)) if k > 1 or which == "both" else None
    with subject.looked_at():
        found = eigenpairs(product_of(subject, matrix), start, k, which, iterations, tolerance, redraw)
    return Eigenvalues(
        torch.tensor(found.values, dtype=torch.float64, device="cpu"),
        torch.tensor(found.residuals, dtype=torch.float64, device="cpu"),
        found.vectors,
        {name: p.shape for name, p in subject.params.items()},
        found.iterations,
        found.converged,
        subject.samples,
        subject.passes,
        subject.seconds,
    )

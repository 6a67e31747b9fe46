"""Sharpness: the largest eigenvalue of the Hessian of the mean loss over given data."""

from collections.abc import Iterable

from torch import nn

from steepest.diagnostics.lanczos import HessianEigenvalue, lanczos
from steepest.diagnostics.products import product_of
from steepest.diagnostics.samples import LossFunction
from steepest.diagnostics.subject import Filter, Subject, between, generator_of, whole


def largest_hessian_eigenvalue(
    model: nn.Module,
    loss_fn: LossFunction,
    data: Iterable[object],
    *,
    params: Filter | None = None,
    iterations: int = 100,
    tolerance: float = 1e-3,
    seed: int = 0,
) -> HessianEigenvalue:
    r"""Largest eigenvalue of the Hessian of the mean loss over ``data``, by the model's trainable parameters.

    .. code-block:: text

        L(w) = sum_b n_b * loss_fn(model(x_b), y_b) / sum_b n_b       n_b: samples in batch b
        value = max over ||v|| = 1 of  v' H v,                        H = the second derivative of L at w

    Largest means algebraically greatest, with its sign: of -5, 0 and 2 it is 2. Found by the Lanczos process with full
    reorthogonalisation, which finds that end of the spectrum directly; power iteration would find -5 first. The
    Hessian is never formed: its products with vectors come from differentiating twice.

    The model runs in evaluation mode: no dropout, BatchNorm with its running statistics. Afterwards modes, buffers,
    ``.grad``, weights and torch's random state are what they were.

    **Cost**: at most ``iterations + 1`` passes over the data, each as dear as three to five gradients; one copy of
    the trainable parameters for each iteration, and one batch's graph. Our runs needed 7 to 47 iterations.

    **What it is not**: a measure of generalisation, nor the same for two networks that compute the same function with
    other weights; nor the limit of the learning rate of any optimizer other than plain full-batch gradient descent.

    Args:
        model: called as ``model(inputs)``, ``model(**inputs)`` if they are a dict; its trainable parameters are float32
            or float64. Within ``DistributedDataParallel``, all ranks call this together, each with data of its own.
        loss_fn: called as ``loss_fn(outputs, targets)``; the **mean** over the batch, as torch's losses are by default.
        data: pairs ``(inputs, targets)`` of tensors whose first dimension is the samples, in batches of any sizes; the
            same samples each time it is iterated: a list, or a ``DataLoader`` without random augmentation. A batch that
            is a dict stands for both. Moved to the device of the model's first parameter.
        params: which trainable parameters count: a pattern of names such as ``"layer1.*"``, several, or a function of
            name and parameter. All by default.
        iterations: the most Lanczos steps, at least 1. There are never more than parameters.
        tolerance: in (0, 1); ends the search when the residual is at most ``tolerance * |value|``, or rounding error.
        seed: of the random start vector, which is the same on every device.

    Returns:
        ``value``, ``residual``, ``iterations`` and ``converged``. Not having converged is not an error.

    Raises:
        TypeError: an argument is of the wrong kind; ``data`` is a generator, which could be iterated only once.
        ValueError: an argument is out of range, nothing is trainable, there are no samples, the loss is not one number.
        RuntimeError: the loss or its second derivative is not finite, the loss does not depend on the parameters, it
            changed from one pass to the next, or autograd's derivatives are not those of the loss: part of the graph
            was lost in a custom backward, ``detach()``, ``float()``, a hook or the like.

    Source: Lanczos, J. Res. Nat. Bur. Stand. 45 (1950); Hessian-vector products: Pearlmutter, Neural Computation 6
    (1994). What to make of the value: Cohen et al., arXiv 2103.00065; Dinh et al., arXiv 1703.04933.

    Example:
        >>> import torch
        >>> line = nn.Linear(2, 1, bias=False)
        >>> inputs, targets = torch.tensor([[3.0, 0.0], [0.0, 1.0]]), torch.zeros(2, 1)
        >>> found = largest_hessian_eigenvalue(line, nn.MSELoss(), [(inputs, targets)])
        >>> round(found.value, 4), found.converged  # of 2/n X'X = diag(9, 1)
        (9.0, True)
    """
    subject = Subject(model, loss_fn, data, params)
    whole("iterations", iterations, 1)
    between("tolerance", tolerance, 0, 1)
    start = subject.draw(generator_of(seed))
    with subject.looked_at():
        return lanczos(product_of(subject, "hessian"), start, iterations, tolerance)

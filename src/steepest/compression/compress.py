"""A network made small layer by layer, within a budget of accuracy."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steepest._kept import random_numbers_kept
from steepest.compression.constraint import Mode, check_mode
from steepest.compression.folder import Folder
from steepest.compression.steps import ORDERS, Compressed, Compression, Order, Progress
from steepest.compression.training import Make, Trainer
from steepest.compression.weights import detached, find_weights
from steepest.data.loaded import Loaded
from steepest.optim.arguments import check_choice, check_flag, check_integer, check_number
from steepest.training.definitions.schedule import SCHEDULES

_SGD = partial(torch.optim.SGD, lr=0.03, momentum=0.9)


def compress(
    model: nn.Module,
    train_loader: Any,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    evaluate: Callable[[nn.Module], float],
    *,
    budget: float = 1.0,
    higher_is_better: bool = True,
    sparsity: float = 0.8,
    mode: Mode = "straight-through",
    optimizer: Make = _SGD,
    schedule: str = "linear",
    epochs_per_layer: int = 1,
    retrain_epochs: int | None = None,
    exempt: Iterable[str] = (),
    embeddings: bool = False,
    recurrent: bool = False,
    order: Order = "sparsest",
    clip: float | None = None,
    sigma_lr: float = 1.0,
    seed: int = 0,
    folder: "Path | str | None" = None,
    progress: Progress = lambda name, share: None,
) -> Compressed:
    r"""Prune a trained network, then hold its layers to three values, one after the other, while they are trained.

    .. code-block:: text

        prune all layers together to the sparsity, and retrain under the masks;
        for each layer, from the sparsest to the densest:
            hold it to {-sigma, 0, sigma} and train; keep that if base - evaluate(model) <= budget, else take it back

    If pruning and its retraining alone break the budget, less and less is pruned, by bisection, at worst nothing. The
    given model is not changed.

    Args:
        model: trained.
        train_loader: a :class:`torch.utils.data.DataLoader` of pairs of inputs and targets; its order, and what its
            dataset changes at random, follow from ``seed``.
        loss_fn: of outputs and targets.
        evaluate: of a model in evaluation mode: a number of points on VALIDATION data; the promise is kept there.
        budget: how many points may be lost, at least 0.
        higher_is_better: of the points.
        sparsity: the share of weights that is pruned, in [0, 1), of all layers together.
        mode: ``"straight-through"`` or ``"project"``, as ``clip`` and ``sigma_lr``: see :class:`SigmaConstraint`.
        optimizer: a function of named parameters that makes one, of ours or torch's, anew for each training; by default
            SGD with lr 0.03 and momentum 0.9.
        schedule: of its lr in each training: ``"linear"``, ``"constant"``, ``"cosine"``, ``"polynomial"``, ``"step"``.
        epochs_per_layer: of each layer's training.
        retrain_epochs: after pruning; ``None`` for as many as for a layer.
        exempt: names of modules or weights that are left alone, or ``"first"`` and ``"last"``.
        embeddings, recurrent: take those layers, too; else convolutions and linear layers.
        order: ``"sparsest"`` first, which is the method; ``"densest"`` first, ``"random"``, or all ``"together"`` in
            as many epochs, to compare.
        seed: of all that is random.
        folder: where each step is kept, and a training every half a minute: the same call again goes on from there. It
            knows the model, the optimizer's values and all numbers here by itself, but neither the data nor what the
            functions do.
        progress: called with what is done, and the share that is behind.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range, or ``evaluate`` gives no finite number
            for the given model.
        InputError: the folder holds another compression, or the loader's batches are no pairs.

    Source: a **reconstruction** from the abstract of Grimaldi, Tenace, Calimera, "Layer-wise compressive training for
    convolutional neural networks", Future Internet 11 (2018), 7.

    Example:
        >>> from torch.utils.data import DataLoader, TensorDataset
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(64, 8)
        >>> y = (x[:, 0] > 0).long()
        >>> model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
        >>> evaluate = lambda model: 100 * (model(x).argmax(dim=1) == y).float().mean().item()
        >>> loader = DataLoader(TensorDataset(x, y), batch_size=16)
        >>> found = compress(model, loader, nn.functional.cross_entropy, evaluate, budget=5.0, sparsity=0.5)
        >>> found.base - found.accuracy <= 5.0, found.constrained
        (True, ('0.weight', '2.weight'))
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    for name, given, what in (
        ("loss_fn", loss_fn, "outputs and targets"),
        ("evaluate", evaluate, "a model"),
        ("optimizer", optimizer, "parameters"),
    ):
        if not callable(given):
            raise TypeError(f"{name} must be a function of {what}, got {type(given).__name__}")
    check_flag("higher_is_better", higher_is_better)
    check_options(locals())
    places = {
        place.key: place for place in find_weights(model, exempt=exempt, embeddings=embeddings, recurrent=recurrent)
    }
    device = next(iter(model.parameters())).device
    part = Loaded.of(train_loader).to(device)
    trainer = Trainer(
        detached(model), places, part, part.batch_size, loss_fn, optimizer, schedule, mode, clip, sigma_lr, seed
    )
    retrain = epochs_per_layer if retrain_epochs is None else retrain_epochs
    asked = {"budget": float(budget), "higher_is_better": higher_is_better}
    with random_numbers_kept({device}):
        kept = Folder(None if folder is None else Path(folder), asked, trainer)
        run = Compression(trainer, kept, evaluate, budget, higher_is_better, progress)
        return run.all(sparsity, epochs_per_layer, retrain, order)


def check_options(given: Mapping[str, Any]) -> None:
    """Raise unless the options of a compression can be used.

    Raises:
        TypeError, ValueError: one is of the wrong kind or out of range.
    """
    check_number("budget", given["budget"], "a finite number of points of at least 0", lambda x: 0 <= x < math.inf)
    check_number("sparsity", given["sparsity"], "a share of at least 0 and below 1", lambda x: 0 <= x < 1)
    check_mode(given["mode"], given["clip"], given["sigma_lr"])
    check_choice("order", given["order"], ORDERS)
    check_choice("schedule", given["schedule"], tuple(SCHEDULES))
    for name in ("embeddings", "recurrent"):
        check_flag(name, given[name])
    for name, least in (("epochs_per_layer", 1), ("retrain_epochs", 1), ("seed", 0)):
        if given[name] is not None or name != "retrain_epochs":
            check_integer(name, given[name], f"an integer of at least {least}")
            check_number(name, given[name], f"an integer of at least {least}", lambda x, least=least: x >= least)  # type: ignore[misc]
    if isinstance(given["exempt"], str):
        raise TypeError(f"exempt must be a list of names, got the text {given['exempt']!r}")

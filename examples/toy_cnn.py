"""INSGD against SGD on a small convolutional network without normalisation layers (Atici et al., arXiv 2212.09921).

steepest compare examples/toy_cnn.py:cifar10_toy --data-dir DIR \
    --methods examples/toy_cnn.py:sgd,examples/toy_cnn.py:insgd

DIR holds a folder whose name begins with cifar10: training and test images as Parquet files in the layout of the
`datasets` library, with the columns `image` and `label`. `cifar10_toy_released` and `insgd_released` are the pair for
the rule of the authors' code, `cifar10_toy_small` and `cifar10_toy_large` begin with weights of a third and three
times the size, `cifar10_toy_batchnorm` has the paper's BatchNorm. A run takes 10 to 20 seconds on one core. What came
out is on docs/methods/insgd.md.
The built-in workload `toy-cnn-nobn` is this network on all of CIFAR-10; the built-in method `insgd` tracks by itself.
"""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from steepest import INSGD, track_input_power
from steepest.compare import Method, Range, Workload
from steepest.data import Split, Splits, data_folder, hold_out, load_hub_images, standardize
from steepest.training.builtin.models import toy_cnn

TRAINING_IMAGES = 10_000


def cifar10(data_dir: Path | None) -> Splits:
    """10,000 training, 5,000 validation and 10,000 test images of shape (3, 32, 32), standardised."""
    folder = data_folder(data_dir)
    found = sorted(folder.glob("cifar10*")) if folder else []
    if not found:
        raise FileNotFoundError("give, with --data-dir, a folder that holds cifar10*/*.parquet")
    train, test = load_hub_images(str(found[0]))
    rest, validation = hold_out(train, 0.1)
    few = Split(rest.inputs[:TRAINING_IMAGES], rest.targets[:TRAINING_IMAGES])
    return standardize(Splits(*(Split(_pixels(s.inputs), s.targets) for s in (few, validation, test))))


def _pixels(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 3, 1, 2).to(torch.float32).div_(255)


def tracked_toy_cnn(standardize: bool = False, scale: float = 1.0, norm: bool = False) -> nn.Sequential:
    """The paper's toy network without its BatchNorm, or with it, its initial weights times a scale. Tracked for every
    method, so that SGD pays for the hooks too."""
    model = toy_cnn(norm=norm)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    track_input_power(model, standardize=standardize)
    return model


def workload(name: str, standardize: bool, scale: float = 1.0, norm: bool = False) -> Workload:
    return Workload(
        name=name,
        data=cifar10,
        model=partial(tracked_toy_cnn, standardize, scale, norm),
        batch_size=128,
        epochs=5,
        target=0.4,
        description="10,000 images of CIFAR-10, four convolutions and a linear layer, "
        + ("BatchNorm" if norm else "no normalisation layers"),
    )


cifar10_toy = workload("cifar10-toy", standardize=False)
cifar10_toy_released = workload("cifar10-toy-released", standardize=True)
cifar10_toy_small = workload("cifar10-toy-third", standardize=False, scale=1 / 3)
cifar10_toy_large = workload("cifar10-toy-triple", standardize=False, scale=3.0)
cifar10_toy_batchnorm = workload("cifar10-toy-batchnorm", standardize=False, norm=True)
_LR = Range(0.01, 1.0)
_FIXED = {"momentum": 0.9, "weight_decay": 5e-4}
sgd = Method("sgd", torch.optim.SGD, space={"lr": _LR}, fixed=_FIXED)
insgd = Method("insgd", INSGD, space={"lr": _LR}, fixed=_FIXED)
insgd_released = Method("insgd-released", INSGD, space={"lr": _LR}, fixed={**_FIXED, "rule": "released"})

"""The built-in workloads."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from torch import nn

from steepest import data
from steepest.data.text import LENGTH, SHAKESPEARE_CHARACTERS
from steepest.training.builtin.language import CharGPT, CharLSTM, bits_per_character, character_loss
from steepest.training.builtin.models import deep_sigmoid_mlp, lenet5, mlp, small_cnn, toy_cnn
from steepest.training.builtin.orders import evaluations, mean_value, permutation_toy
from steepest.training.builtin.resnet import resnet20
from steepest.training.definitions.workload import Workload

# Made of the vocabulary; the target in bits per character; what it is.
_LANGUAGE_MODELS: dict[str, tuple[Callable[[int], nn.Module], float, str]] = {
    "lstm": (CharLSTM, 2.6, "LSTM of 128 units"),
    "gpt": (partial(CharGPT, length=LENGTH), 2.8, "GPT of 4 layers, width 64"),
}


def predict_characters(
    network: str, name: str, data: Callable[[Path | None], Iterable[object]], what: str, vocabulary: int
) -> Workload:
    """The workload of predicting the next character of a text.

    Args:
        network: ``"lstm"`` or ``"gpt"``.
        what: the text, in a few words.
        vocabulary: number of its different characters, the unknown one included.
    """
    model, target, description = _LANGUAGE_MODELS[network]
    return Workload(
        name,
        data=data,
        model=partial(model, vocabulary),
        batch_size=32,
        epochs=3,
        target=target,
        loss=character_loss,
        metric=bits_per_character,
        metric_name="bits per character",
        higher_is_better=False,
        percent=False,
        description=f"the next character of {what}, {description}",
    )


_ALL = (
    Workload(
        "digits-mlp",
        data=lambda _: data.digits(),
        model=partial(mlp, 64, 64, 10),
        batch_size=64,
        epochs=30,
        target=0.95,
        description="scikit-learn's 8x8 digits (embedded), MLP 64-64-10",
    ),
    Workload(
        "mnist-mlp",
        data=partial(data.images, "mnist"),
        model=partial(mlp, 784, 256, 10),
        batch_size=128,
        epochs=5,
        target=0.97,
        description="MNIST, MLP 784-256-10",
    ),
    Workload(
        "fashion-mlp",
        data=partial(data.images, "fashion-mnist"),
        model=partial(mlp, 784, 256, 10),
        batch_size=128,
        epochs=5,
        target=0.87,
        description="Fashion-MNIST, MLP 784-256-10",
    ),
    Workload(
        "fashion-cnn",
        data=partial(data.images, "fashion-mnist"),
        model=small_cnn,
        batch_size=128,
        epochs=5,
        target=0.89,
        description="Fashion-MNIST, two convolutions and two linear layers",
    ),
    Workload(
        "mnist-lenet5",
        data=partial(data.images, "mnist"),
        model=lenet5,
        batch_size=64,
        epochs=10,
        target=0.99,
        description="MNIST, Caffe's LeNet-5 with 431,080 parameters",
    ),
    Workload(
        "mnist-deep-sigmoid",
        data=partial(data.images, "mnist"),
        model=deep_sigmoid_mlp,
        batch_size=100,
        epochs=40,
        target=0.7,
        description="MNIST, 18 sigmoid layers of 100 units, where gradients vanish",
    ),
    Workload(
        "toy-cnn",
        data=data.cifar10,
        model=toy_cnn,
        batch_size=128,
        epochs=5,
        target=0.6,
        description="CIFAR-10, four convolutions with BatchNorm and a linear layer",
    ),
    Workload(
        "toy-cnn-nobn",
        data=data.cifar10,
        model=partial(toy_cnn, norm=False),
        batch_size=128,
        epochs=5,
        target=0.6,
        description="CIFAR-10, four convolutions and a linear layer, no BatchNorm",
    ),
    Workload(
        "cifar10-resnet20",
        data=data.cifar10,
        model=resnet20,
        batch_size=128,
        epochs=10,
        target=0.7,
        description="CIFAR-10 with random crops and flips, ResNet-20",
        augment=data.random_crop_flip,
    ),
    Workload(
        "cifar10-resnet20-nobn",
        data=data.cifar10,
        model=partial(resnet20, norm=False),
        batch_size=128,
        epochs=10,
        target=0.6,
        description="CIFAR-10 with random crops and flips, ResNet-20 without BatchNorm",
        augment=data.random_crop_flip,
    ),
    *(
        predict_characters(
            network, f"shakespeare-{network}", data.shakespeare, "tiny Shakespeare", SHAKESPEARE_CHARACTERS + 1
        )
        for network in _LANGUAGE_MODELS
    ),
    Workload(
        "permutation-toy",
        data=evaluations(1000),
        model=permutation_toy,
        batch_size=1,
        epochs=50,
        target=6.23,
        loss=mean_value,
        metric=mean_value,
        metric_name="f at the mode",
        higher_is_better=False,
        percent=False,
        description="orders of 8 items by their distance from a nearly flat matrix; for estimators of orders",
    ),
)
WORKLOADS = {workload.name: workload for workload in _ALL}

"""The built-in workloads."""

from functools import partial

from steepest import data
from steepest.compare.builtin.models import mlp, small_cnn
from steepest.compare.workload import Workload

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
)
WORKLOADS = {workload.name: workload for workload in _ALL}

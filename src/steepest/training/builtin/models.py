"""Small networks for the built-in workloads."""

import itertools

from torch import nn


def mlp(*widths: int) -> nn.Sequential:
    """A multilayer perceptron with ReLU between its linear layers; inputs of any shape are flattened first.

    Torch's default initialisation.

    Example:
        >>> [tuple(p.shape) for p in mlp(64, 32, 10).parameters()]
        [(32, 64), (32,), (10, 32), (10,)]
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ReLU()] * (i > 0) + [nn.Linear(fan_in, fan_out)]
    return nn.Sequential(*layers)


def small_cnn(classes: int = 10) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU and max-pooling, then two linear layers; for images of shape (1, 28, 28).

    Torch's default initialisation.

    Example:
        >>> import torch
        >>> small_cnn()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )


def lenet5(classes: int = 10) -> nn.Sequential:
    """Caffe's LeNet-5: two 5x5 convolutions of 20 and 50 filters with max-pooling, then 500 units; 431,080 parameters.

    For images of shape (1, 28, 28). Glorot's uniform initialisation, and biases at 0.

    Source: LeCun, Bottou, Bengio, Haffner, "Gradient-based learning applied to document recognition", Proc. IEEE 86
    (1998), as the examples of Caffe have it, and with them Han, Mao, Dally, "Deep compression", arXiv 1510.00149.

    Example:
        >>> sum(p.numel() for p in lenet5().parameters())
        431080
    """
    model = nn.Sequential(
        nn.Conv2d(1, 20, 5),
        nn.MaxPool2d(2),
        nn.Conv2d(20, 50, 5),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(50 * 4 * 4, 500),
        nn.ReLU(),
        nn.Linear(500, classes),
    )
    for module in model:
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return model


def toy_cnn(classes: int = 10, *, norm: bool = True) -> nn.Sequential:
    """Four 3x3 convolutions, 3-8, then 8-16, 16-32 and 32-64 with stride 2, and a linear layer with dropout 0.2.

    For images of shape (3, 32, 32). Torch's default initialisation.

    Args:
        norm: a BatchNorm layer after each convolution, as the paper has it.

    Source: the toy network of Atici, Pan, Cetin, "Input Normalized Stochastic Gradient Descent Training of Deep Neural
    Networks", arXiv 2212.09921.

    Example:
        >>> import torch
        >>> toy_cnn()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """
    layers: list[nn.Module] = []
    for inputs, outputs, stride in ((3, 8, 1), (8, 16, 2), (16, 32, 2), (32, 64, 2)):
        layers += [nn.Conv2d(inputs, outputs, 3, stride, padding=1), *[nn.BatchNorm2d(outputs)] * norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.2), nn.Linear(1024, classes))


def deep_sigmoid_mlp(layers: int = 18, width: int = 100) -> nn.Sequential:
    """A multilayer perceptron whose gradient vanishes: ``layers`` hidden sigmoid layers, for 784 pixels and 10 classes.

    Glorot's uniform initialisation with torch's gain for the sigmoid, which is 1, and biases at 0.

    Source: Yu, Huang, Lin, Salakhutdinov, Carbonell, "Block-normalized gradient method: an empirical study for training
    deep neural network", arXiv 1707.04822; the initialisation is our reading.

    Example:
        >>> sum(isinstance(module, nn.Sigmoid) for module in deep_sigmoid_mlp())
        18
    """
    hidden = [m for _ in range(layers - 1) for m in (nn.Sigmoid(), nn.Linear(width, width))]
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, width), *hidden, nn.Sigmoid(), nn.Linear(width, 10))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("sigmoid"))
            nn.init.zeros_(module.bias)
    return model

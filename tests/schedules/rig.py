"""A training that has begun, with any optimizer, which a range test must leave as it was."""

import copy
import io
import random

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import steepest
from steepest.schedules import lr_range_test

C = 3


class Net(nn.Module):
    """BatchNorm, dropout, a frozen part in evaluation mode, and a weight that is used twice."""

    def __init__(self):
        super().__init__()
        self.first, self.norm, self.drop = nn.Linear(6, 6), nn.BatchNorm1d(6), nn.Dropout(0.2)
        self.again, self.head = nn.Linear(6, 6), nn.Linear(6, C)
        self.again.weight = self.first.weight
        self.frozen = nn.BatchNorm1d(6).eval()

    def forward(self, x):
        return self.head(self.drop(self.frozen(self.again(F.relu(self.norm(self.first(x)))))))


def dataset(n=96, seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 6, generator=generator)
    return TensorDataset(x, (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 0.5).long())


def with_lr_tensor(params):
    return torch.optim.SGD(params, lr=torch.tensor(0.05), momentum=0.9, foreach=True)


def normalized_adam(params):
    optimizer = torch.optim.Adam(params, lr=0.01)
    steepest.normalize_gradients(optimizer)
    return optimizer


OPTIMIZERS = {
    "sgd": lambda params: torch.optim.SGD(params, lr=0.05, momentum=0.9, nesterov=True),
    "lr tensor": with_lr_tensor,
    "adamw": lambda params: torch.optim.AdamW(params, lr=0.01, amsgrad=True),
    "adagrad": lambda params: torch.optim.Adagrad(params, lr=0.01),
    "sngm": lambda params: steepest.SNGM(params, lr=0.05),
    "sngm loop": lambda params: steepest.SNGM(params, lr=0.05, foreach=False),
    "lars": lambda params: steepest.LARS(params, lr=0.5, kahan_sum=True),
    "bng": lambda params: steepest.BlockNormalizedSGD(params, lr=0.05),
    "insgd": lambda params: steepest.INSGD(params, lr=0.05),
    "adam-ng": normalized_adam,
    "csgd": lambda params: torch.optim.SGD(params, lr=0.05),
    "ssgd": lambda params: steepest.SSGD(params, lr=0.05),
    "lbfgs": lambda params: torch.optim.LBFGS([p for _, p in params], lr=0.1, max_iter=4),
}
CLOSURES = ("ssgd", "lbfgs")


class Rig:
    """A training that has begun, and can be looked at and gone on with."""

    def __init__(self, name, *, scaled=False, loss_fn=None):
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)
        self.name, self.model = name, Net()
        if name == "insgd":
            steepest.track_input_power(self.model)
        self.optimizer = OPTIMIZERS[name](list(self.model.named_parameters()))
        self.handle = steepest.calibrate(self.model, "learned", optimizer=self.optimizer) if name == "csgd" else None
        self.scaler = torch.amp.GradScaler("cpu", init_scale=2.0**4, growth_interval=2) if scaled else None
        self.loader = DataLoader(dataset(), 12, shuffle=True, generator=torch.Generator().manual_seed(5))
        self.loss_fn = loss_fn or nn.CrossEntropyLoss()
        self.train()

    def train(self, batches=4):
        for x, y in [batch for batch, _ in zip(self.loader, range(batches), strict=False)]:

            def closure(x=x, y=y):
                self.optimizer.zero_grad()
                loss = F.cross_entropy(self.model(x), y)
                (loss if self.scaler is None else self.scaler.scale(loss)).backward()
                return loss

            if self.name in CLOSURES:
                self.optimizer.step(closure)
            else:
                closure()
                if self.scaler is None:
                    self.optimizer.step()
                else:
                    self.scaler.step(self.optimizer)
                    self.scaler.update()
        return self

    def goes_on(self):
        """The state after more training, on the same random numbers wherever it is called."""
        torch.manual_seed(9)
        return self.train().state()

    def test(self, **options):
        given = {"num_iter": 30, "closure": self.name in CLOSURES, "scaler": self.scaler} | options
        return lr_range_test(self.model, self.optimizer, self.loss_fn, self.loader, **given)

    def state(self):
        """Everything, in copies."""
        return copy.deepcopy(
            {
                "model": self.model.state_dict(),
                "grads": [p.grad for p in self.model.parameters()],
                "optimizer": self.optimizer.state_dict(),
                "scaler": self.scaler and self.scaler.state_dict(),
                "modes": [m.training for m in self.model.modules()],
                "random": [random.getstate(), np.random.get_state(), torch.get_rng_state()],
                "loader": self.loader.generator.get_state(),
                "handle": self.handle and self.handle.state_dict(),
            }
        )

    def objects(self):
        groups = self.optimizer.param_groups
        held = [*self.model.parameters(), *self.model.buffers(), *(p.grad for p in self.model.parameters()), *groups]
        held += [value for state in self.optimizer.state.values() for value in state.values()]
        return [id(thing) for thing in held if not isinstance(thing, int | float)]


def packed(state):
    file = io.BytesIO()
    torch.save(state, file)
    return torch.load(io.BytesIO(file.getvalue()), weights_only=False)


def equal(a, b):
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b) and a.dtype == b.dtype
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b

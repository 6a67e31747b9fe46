"""A training function as it stands in many scripts, opened to `steepest compare` by four calls of `run`.

steepest compare examples/own_function.py:wines --methods sgd,adamw,sngm
"""

import torch
from sklearn.datasets import load_wine
from torch import nn

from steepest.compare import FunctionRun, Workload


def train(run: FunctionRun) -> None:
    x, y = (torch.tensor(v, dtype=torch.float32) for v in load_wine(return_X_y=True))
    x, y = (x - x.mean(0)) / x.std(0), y.long()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    train_rows, validation_rows, test_rows = order[:90], order[90:134], order[134:]
    model = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
    optimizer = run.optimizer(model)
    for step in range(1, run.steps + 1):
        batch = train_rows[torch.randint(len(train_rows), (15,))]
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 12 == 0 or step == run.steps:
            with torch.no_grad():
                outputs, labels = model(x[validation_rows]), y[validation_rows]
            accuracy = (outputs.argmax(1) == labels).float().mean()
            if run.report(accuracy, nn.functional.cross_entropy(outputs, labels)):
                return
    with torch.no_grad():
        run.test((model(x[test_rows]).argmax(1) == y[test_rows]).float().mean())


wines = Workload.from_function(train, name="wines", steps=120, target=0.9, description="a function of its own")

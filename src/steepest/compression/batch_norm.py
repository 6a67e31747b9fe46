"""Statistics of BatchNorm for weights that have changed."""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from steepest.data import Split
from steepest.training.loop.batches import batches_of

BATCHES = 100


def reestimate(model: nn.Module, part: Split, batch_size: int, seed: int) -> dict[str, Tensor]:
    """Mean and variance of every BatchNorm layer over up to 100 batches of training data, by their keys.

    All batches count alike. A model without such layers gives nothing, and sees no data.
    """
    norms = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, _BatchNorm) and module.track_running_stats
    }
    if not norms:
        return {}
    momenta = {name: module.momentum for name, module in norms.items()}
    model.eval()
    for module in norms.values():
        module.reset_running_stats()
        module.momentum = None  # all batches alike
        module.train()
    batches = batches_of(part, batch_size, seed)
    with torch.no_grad():
        for _ in range(min(BATCHES, len(part) // batch_size)):
            model(next(batches)[0])
    for name, module in norms.items():
        module.momentum = momenta[name]
    names = {f"{name}.{own}".lstrip(".") for name, module in norms.items() for own, _ in module.named_buffers()}
    return {key: tensor.detach().clone() for key, tensor in model.state_dict().items() if key in names}

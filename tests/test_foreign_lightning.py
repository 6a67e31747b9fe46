"""Under Lightning: a handle kept in the module, checkpoints, mixed precision with clipping, weight averaging."""

import copy
import pickle
import warnings

import lightning as L
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import steepest
from steepest.optim import ScaledSGD

pytestmark = pytest.mark.filterwarnings("ignore")
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
OPTIMIZERS = {
    "scaled": lambda model: ScaledSGD(model.named_parameters(), lr=0.1),
    "sngm": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1),
    "sngm, loop": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1, fused=False),
    "bng": lambda model: steepest.BlockNormalizedSGD(model.named_parameters(), lr=0.1),
    "lars": lambda model: steepest.LARS(model.named_parameters(), lr=1.0),
    "tracking": lambda model: steepest.INSGD(model.named_parameters(), lr=0.1),
    "ssgd": lambda model: steepest.SSGD(model.named_parameters(), lr=0.1),
    "calibration": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1),
    "normalize": lambda model: torch.optim.Adam(model.named_parameters(), lr=0.01),
}


class Module(L.LightningModule):
    """Keeps its handle where people keep such things, and what resuming needs in the checkpoint."""

    def __init__(self, kind):
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.handle = kind, None
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        if kind == "tracking":
            self.handle = steepest.track_input_power(self)
        if kind == "calibration":
            self.handle = steepest.calibrate(self, keep=0.5)

    def training_step(self, batch, _):
        return (self.layers(batch) - 1).square().mean()

    def configure_optimizers(self):
        optimizer = OPTIMIZERS[self.kind](self)
        if self.kind == "normalize":
            self.handle = steepest.normalize_gradients(optimizer)
        return optimizer

    def on_save_checkpoint(self, checkpoint):
        if self.kind == "calibration":
            checkpoint["calibration"] = self.handle.state_dict()

    def on_load_checkpoint(self, checkpoint):
        if self.kind == "calibration":
            self.handle.load_state_dict(checkpoint["calibration"])

    def weights(self):
        return torch.cat([p.detach().flatten() for p in self.parameters()])


def fit(kind, *, epochs, path=None, save=None, **options):
    module = Module(kind)
    data = DataLoader(torch.randn(16, 4, generator=torch.Generator().manual_seed(1)), batch_size=8)
    trainer = L.Trainer(max_epochs=epochs, enable_checkpointing=save is not None, **QUIET, **options)
    trainer.fit(module, data, ckpt_path=path)
    if save is not None:
        trainer.save_checkpoint(save)
    return module


@pytest.mark.parametrize("kind", ["sngm", "tracking", "ssgd", "calibration", "normalize"])
def test_a_checkpoint_goes_on_where_the_run_was(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    straight = fit(kind, epochs=3)
    fit(kind, epochs=2, save=tmp_path / "half.ckpt")
    resumed = fit(kind, epochs=3, path=tmp_path / "half.ckpt")
    assert torch.equal(resumed.weights(), straight.weights())
    assert not torch.equal(straight.weights(), Module(kind).weights())


@pytest.mark.parametrize("kind", ["tracking", "calibration", "normalize"])
def test_a_module_that_holds_a_handle_is_copied_and_pickled(kind):
    module = fit(kind, epochs=1)
    for copied in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert torch.equal(copied.weights(), module.weights())


@pytest.mark.parametrize("kind", [kind for kind in OPTIMIZERS if kind not in ("calibration", "normalize")])
def test_clipping_goes_with_bfloat16(kind):
    module = fit(kind, epochs=1, precision="bf16-mixed", gradient_clip_val=1.0)
    assert torch.isfinite(module.weights()).all()
    assert not torch.equal(module.weights(), Module(kind).weights())


@pytest.mark.parametrize("kind", ["sngm", "tracking", "normalize"])
def test_weights_are_averaged_beside_a_handle(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        average = L.pytorch.callbacks.StochasticWeightAveraging(swa_lrs=1e-3, swa_epoch_start=1)
    assert torch.isfinite(fit(kind, epochs=3, callbacks=[average]).weights()).all()

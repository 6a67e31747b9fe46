"""A watch in loops of users and of other libraries: what it writes, and that nothing of it is seen in the loop."""

import json
import math

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from steepest import SNGM
from steepest.diagnostics import Watch, gradient_noise_scale

LOSS = nn.CrossEntropyLoss()


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3, bias=False))


def loader(batches=10, **options):
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(16 * batches, 4, generator=generator)
    targets = torch.randint(0, 3, (16 * batches,), generator=generator)
    return DataLoader(TensorDataset(inputs, targets), 16, **options)


def train(model, make_watch=None, steps=20):
    """Shuffled batches, dropout, momentum: whatever a watch disturbed would be seen in the weights."""
    optimizer = SNGM(model.named_parameters(), lr=0.1, momentum=0.9)
    watch = make_watch(model, optimizer) if make_watch else None
    torch.manual_seed(7)
    for _ in range(steps // 10):
        for inputs, targets in loader(shuffle=True):
            optimizer.zero_grad()
            LOSS(model(inputs), targets).backward()
            optimizer.step()
            if watch:
                watch.step((inputs, targets))
    return [*model.parameters(), *model.buffers()], watch


def failures(watch):
    return [its for line in watch.lines for its in line.values() if isinstance(its, dict) and "error" in its]


@pytest.mark.slow
def test_training_is_the_same_bit_for_bit_whatever_is_watched():
    alone, _ = train(network())
    watched, watch = train(
        network(), lambda model, optimizer: Watch(model, LOSS, every=10, quantities=Watch.NAMES, optimizer=optimizer)
    )
    assert all(torch.equal(a, b) for a, b in zip(alone, watched, strict=True))
    assert [line["step"] for line in watch.lines] == [10, 20]
    assert not failures(watch)
    assert set(watch.lines[-1]) == {"step", "seconds", *Watch.NAMES}


def test_the_last_batches_are_what_is_measured():
    model, kept = network(), list(loader(3))
    watch = Watch(model, LOSS, every=None, keep=2, quantities=["noise_scale"])
    for batch in kept:
        assert watch.step(batch) is None
    found = watch.measure()["noise_scale"]
    expected = gradient_noise_scale(model, LOSS, kept[1:])
    assert (found["samples"], found["trace"]) == (32, expected.trace)
    given = Watch(model, LOSS, every=1, data=kept, quantities=["noise_scale"]).step(kept[0])
    assert given["noise_scale"]["trace"] == gradient_noise_scale(model, LOSS, kept).trace


def test_the_update_ratio_is_that_of_the_step_just_taken():
    model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 3))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    watch = Watch(model, LOSS, every=2, quantities=["update_ratio"], optimizer=optimizer)
    for batch in list(loader(2)):
        optimizer.zero_grad()
        LOSS(model(batch[0]), batch[1]).backward()
        before = [p.detach().clone() for p in model.parameters()]
        optimizer.step()
        seen = watch.step(batch)
    first = [torch.cat([(a - b).flatten() for a, b in zip(list(model.parameters())[:2], before[:2], strict=True)])]
    expected = first[0].norm() / torch.cat([b.flatten() for b in before[:2]]).norm()
    assert math.isclose(seen["update_ratio"]["0"], expected.item(), rel_tol=1e-5)
    assert set(seen["update_ratio"]) == {"0", "1"}
    watch.close()
    assert not optimizer._optimizer_step_pre_hooks
    assert not optimizer._optimizer_step_post_hooks


def test_lines_are_json_that_any_reader_takes_and_a_file_is_gone_on_with(tmp_path):
    path = tmp_path / "logs" / "watch.jsonl"
    silent = nn.Linear(4, 3)
    nn.init.zeros_(silent.weight)
    nn.init.zeros_(silent.bias)
    balanced = [(torch.zeros(4, 4), torch.tensor([0, 1, 2, 0])), (torch.zeros(2, 4), torch.tensor([1, 2]))]
    for _ in range(2):
        watch = Watch(silent, LOSS, every=1, data=balanced, quantities=["noise_scale"], path=path)
        watch.step()

    def refuse(constant):
        raise AssertionError(constant)  # NaN and Infinity are no JSON

    lines = [json.loads(line, parse_constant=refuse) for line in path.read_text().splitlines()]
    assert len(lines) == 2
    assert lines[0]["noise_scale"]["high"] is None
    assert "no upper bound" in lines[0]["noise_scale"]["note"]


def test_an_instrument_that_fails_costs_its_value_and_not_the_run(tmp_path):
    def broken(model, loss_fn, data):
        raise OSError("no such thing")

    watch = Watch(network(), LOSS, every=1, quantities={"mine": broken, "two": lambda *_: 2}, path=tmp_path / "w")
    line = watch.step(next(iter(loader())))
    assert line["mine"] == {"error": "OSError: no such thing"}
    assert line["two"] == {"value": 2.0}
    empty = Watch(network(), LOSS, every=1).step()
    assert "give Watch its data" in empty["noise_scale"]["error"]


def test_tensorboard_gets_a_series_of_each_number(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    watch = Watch(network(), LOSS, every=1, data=list(loader(2)), quantities=["gradient_norm"], tensorboard=tmp_path)
    watch.step()
    watch.step()
    watch.close()
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [event.step for event in events.Scalars("gradient_norm")] == [1, 2]
    assert events.Scalars("gradient_norm/loss")[0].value > 0


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"quantities": ["sharpnes"]}, ValueError, "quantities must be among .*, got 'sharpnes'"),
        ({"quantities": {"mine": 3}}, TypeError, "quantities must be functions of model, loss_fn and data, got 3"),
        ({"quantities": ["update_ratio"]}, TypeError, "'update_ratio' needs optimizer, .* got None"),
        ({"every": 0}, ValueError, "every must be at least 1, got 0"),
        ({"keep": 0}, ValueError, "keep must be at least 1, got 0"),
        ({"params": "layer9.*"}, ValueError, "params must choose a trainable parameter .*, got 'layer9"),
    ],
)
def test_bad_arguments_are_refused(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        Watch(network(), LOSS, **wrong)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("accumulate", [1, 2])
def test_lightning(tmp_path, accumulate):
    import lightning

    class Module(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.net = network()

        def training_step(self, batch, _):
            return LOSS(self.net(batch[0]), batch[1])

        def configure_optimizers(self):
            return SNGM(self.net.named_parameters(), lr=0.1)

    def fit(callbacks, module):
        torch.manual_seed(3)
        options = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
        trainer = lightning.Trainer(
            max_epochs=2,
            callbacks=callbacks,
            accumulate_grad_batches=accumulate,
            enable_checkpointing=False,
            default_root_dir=tmp_path,
            **options,
        )
        trainer.fit(module, loader(shuffle=True))
        return list(module.parameters())

    module = Module()
    watch = Watch(module.net, LOSS, every=5, path=tmp_path / "watch.jsonl")
    watched = fit([watch.lightning_callback()], module)
    assert [line["step"] for line in watch.lines] == [5, 10, 15, 20][: 4 // accumulate]
    assert not failures(watch)
    assert all(torch.equal(a, b) for a, b in zip(watched, fit([], Module()), strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.slow
def test_transformers(tmp_path, with_data):
    import transformers

    class Classifier(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = network()

        def forward(self, inputs, labels=None):
            logits = self.net(inputs)
            return {"loss": LOSS(logits, labels), "logits": logits}

    rows = [{"inputs": x, "labels": y} for x, y in loader().dataset]

    def fit(model, callbacks):
        arguments = transformers.TrainingArguments(
            str(tmp_path), max_steps=12, use_cpu=True, report_to=[], disable_tqdm=True, save_strategy="no", seed=3
        )
        transformers.Trainer(model, arguments, train_dataset=rows, callbacks=callbacks).train()
        return list(model.parameters())

    model = Classifier()
    data = [{"inputs": x, "labels": y} for x, y in loader(4)] if with_data else None
    watch = Watch(model, lambda outputs, batch: LOSS(outputs["logits"], batch["labels"]), every=4, data=data)
    watched = fit(model, [watch.transformers_callback()])
    assert [line["step"] for line in watch.lines] == [4, 8, 12]
    assert not failures(watch)
    assert all(torch.equal(a, b) for a, b in zip(watched, fit(Classifier(), []), strict=True))

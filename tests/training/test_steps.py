"""A workload that says itself how it is trained: samples of any kind, in the same runs."""

import dataclasses
import random
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, IterableDataset, RandomSampler, WeightedRandomSampler

from steepest._errors import InputError
from steepest.compare import Method, Range, Workload
from steepest.data.items import Items, Stream, as_item_splits, moved
from steepest.training import train as module
from steepest.training.builtin import ESTIMATORS
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.recipe import Recipe
from steepest.training.loop.batches import Batches
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.items import StreamBatches, item_batches
from steepest.training.process.randomness import seed_generators

SGD = Method("sgd", torch.optim.SGD, {"lr": Range(0.01, 1.0)}, {"momentum": 0.9})
EPOCHS, SIZE, SEED = 3, 8, 4


def sentences(count, seed):
    """Ragged: words of 1 to 6 numbers, whose class is whether the first is even."""
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        words = [rng.randrange(20) for _ in range(rng.randrange(1, 7))]
        found.append({"ids": torch.tensor(words), "label": words[0] % 2})
    return found


DATA = [sentences(48, 0), sentences(20, 1), sentences(20, 2)]


def padded(samples):
    ids = nn.utils.rnn.pad_sequence([s["ids"] for s in samples], batch_first=True, padding_value=20)
    return {"ids": ids, "mask": ids != 20, "labels": torch.tensor([s["label"] for s in samples])}


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.drop, self.last = nn.Embedding(21, 8), nn.Dropout(0.1), nn.Linear(8, 2)

    def forward(self, ids, mask):
        seen = self.words(ids) * mask[..., None]
        return {"logits": self.last(self.drop(seen.sum(dim=1) / mask.sum(dim=1, keepdim=True)))}


def loss_of(model, batch):
    return F.cross_entropy(model(batch["ids"], mask=batch["mask"])["logits"], batch["labels"])


def means_of(model, batch):
    logits = model(batch["ids"], mask=batch["mask"])["logits"]
    right = (logits.argmax(dim=1) == batch["labels"]).float().mean()
    loss = F.cross_entropy(logits, batch["labels"])
    return {"loss": loss, "accuracy": right, "outputs": logits.argmax(dim=1), "targets": batch["labels"]}


def f1(outputs, targets):
    hit = (outputs * targets).sum().item()
    return 2 * hit / max(outputs.sum().item() + targets.sum().item(), 1)


class Recall:
    """As torchmetrics has them."""

    def reset(self):
        self.hit = self.all = 0

    def update(self, outputs, targets):
        self.hit += (outputs * targets).sum().item()
        self.all += targets.sum().item()

    def compute(self):
        return torch.tensor(self.hit / self.all)


READING = Workload(
    "reading", lambda folder: DATA, Reader, SIZE, EPOCHS, target=0.9, training_step=loss_of, evaluation_step=means_of,
    collate=padded, evaluation_batch=7,
)  # fmt: skip


def run(workload=READING, method=SGD, recipe=Recipe(), lr=0.3, **options):  # noqa: B008
    kept = []
    splits = load_data(workload, None)
    assignment = Assignment(workload, method, splits, {"lr": lr}, SEED, EPOCHS, SIZE, recipe=recipe)
    outcome = module.train(
        assignment, with_test=True, trained=lambda model: kept.extend(p.detach().clone() for p in model.parameters()),
        **options,
    )  # fmt: skip
    return kept, outcome


def equal(some, others):
    return len(some) == len(others) > 0 and all(map(torch.equal, some, others))


def test_it_is_to_the_last_bit_what_a_plain_loop_does():
    seed_generators(SEED)
    model = Reader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3, momentum=0.9)
    order = Batches(Items.of(DATA[0]), SIZE, SEED)
    steps = 48 // SIZE * EPOCHS
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = 0.3 * (1 - step / steps)
        batch = padded([DATA[0][place] for place in next(order)[0].tolist()])
        optimizer.zero_grad()
        loss_of(model, batch).backward()
        optimizer.step()
    found, outcome = run()
    assert equal(found, list(model.parameters()))
    model.eval()
    with torch.no_grad():
        expected = means_of(model, padded(DATA[2]))
    assert outcome.test_metric == pytest.approx(expected["accuracy"].item())
    assert outcome.test_loss == pytest.approx(expected["loss"].item(), rel=1e-5)
    assert outcome.gradient_evaluations == steps


@pytest.mark.parametrize(("name", "cost"), [("ssgd", 1), ("sam", 2), ("csgd", 1)])
def test_estimators_get_the_parts_that_they_ask_for(name, cost):
    sizes = []

    def noted(model, batch):
        sizes.append(len(batch["labels"]))
        return loss_of(model, batch)

    workload = dataclasses.replace(READING, training_step=noted)
    _, outcome = run(workload, dataclasses.replace(SGD, estimators=(ESTIMATORS[name],)))
    assert set(sizes) == ({SIZE // 2} if name == "ssgd" else {SIZE})
    assert sum(sizes) == SIZE * outcome.gradient_evaluations
    assert outcome.gradient_evaluations == 18
    assert len(sizes) == 18 * (2 if name == "ssgd" else 1)
    assert cost == (2 if name == "sam" else 1)


def test_pieces_of_a_batch_are_batches_of_those_samples():
    still = dataclasses.replace(READING, model=lambda: _without_dropout())
    whole, pieces = (run(still, recipe=Recipe(accumulate=n))[0] for n in (1, 4))
    for one, other in zip(whole, pieces, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def _without_dropout():
    model = Reader()
    model.drop.p = 0.0
    return model


def test_metrics_of_the_whole_split_are_no_means_over_batches():
    workload = dataclasses.replace(READING, metrics={"f1": f1, "recall": Recall()}, metric_name="f1")
    found, outcome = run(workload)
    model = Reader().eval()
    with torch.no_grad():
        for p, value in zip(model.parameters(), found, strict=True):
            p.copy_(value)
        said = model(**{k: v for k, v in padded(DATA[2]).items() if k != "labels"})["logits"].argmax(dim=1)
    labels = torch.tensor([s["label"] for s in DATA[2]])
    assert outcome.test_metric == pytest.approx(f1(said, labels))
    recall = (said * labels).sum().item() / labels.sum().item()
    assert outcome.other_metrics == {
        "accuracy": pytest.approx((said == labels).float().mean().item()),
        "recall": recall,
    }
    assert len(outcome.curve["validation recall"]) == EPOCHS


def test_a_workload_of_tensors_may_have_such_metrics_too():
    points = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    part = (points, (points[:, 0] > 0).long())
    workload = Workload(
        "points", lambda folder: [part] * 3, lambda: nn.Linear(3, 2), SIZE, EPOCHS, target=0.9, evaluation_batch=7,
        metrics={"f1": lambda outputs, targets: f1(outputs.argmax(dim=1), targets)},
    )  # fmt: skip
    found, outcome = run(workload)
    said = (points @ found[0].T + found[1]).argmax(dim=1)
    assert outcome.other_metrics == {"f1": pytest.approx(f1(said, part[1]))}
    assert outcome.test_metric == pytest.approx((said == part[1]).float().mean().item())


class Drawing(Dataset):
    """Draws random numbers of all kinds for every sample."""

    def __len__(self):
        return 24

    def __getitem__(self, place):
        noise = random.random() + np.random.rand() + torch.rand(()).item()
        return torch.tensor([place, noise])


def drawn(batches, count):
    found = []
    for _ in range(count):
        fetched, numbers = batches.take()
        found.append(fetched(numbers))
    return found


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_dataset_draws_follows_from_seed_epoch_and_place(workers):
    split = Items.of(Drawing(), workers=workers)
    first = drawn(item_batches(split, 5, 7, None), 6)
    torch.manual_seed(99)
    random.seed(5)
    again = item_batches(split, 5, 7, None)
    before = torch.get_rng_state()
    assert equal(drawn(again, 6), first)
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first[0][:, 1], first[4][:, 1])
    assert not equal(drawn(item_batches(split, 5, 8, None), 6), first)
    assert equal(first, drawn(item_batches(Items.of(Drawing()), 5, 7, None), 6))  # by whichever worker
    half = item_batches(split, 5, 7, None)
    drawn(half, 3)
    state = half.state_dict()
    other = item_batches(split, 5, 7, None)
    other.load_state_dict(state)
    assert equal(drawn(other, 3), first[3:])


class Flow(IterableDataset):
    """Endless, and of random numbers."""

    def __len__(self):
        return 20

    def __iter__(self):
        while True:
            yield torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])


class Short(Flow):
    def __iter__(self):
        yield from (torch.tensor([float(n)]) for n in range(6))


def test_a_stream_flows_and_is_taken_up_where_it_was():
    def begun():
        return item_batches(Stream.of(Flow()), 8, 3, None)

    first = drawn(begun(), 5)
    half = begun()
    assert isinstance(half, StreamBatches)
    drawn(half, 3)
    other = begun()
    other.load_state_dict(half.state_dict())
    torch.manual_seed(3)
    assert equal(drawn(other, 2), first[3:])
    assert not torch.equal(first[0], first[2])  # an epoch is two batches


def test_a_stream_that_ends_early_begins_anew():
    batches = item_batches(Stream.of(Short()), 4, 0, None)
    seen = [batch[:, 0].tolist() for batch in drawn(batches, 6)]
    assert seen == [[0, 1, 2, 3], [4, 5, 0, 1], [2, 3, 4, 5], [0, 1, 2, 3], [4, 5, 0, 1], [0, 1, 2, 3]]


def test_a_dataloader_lends_its_collate_function_and_workers():
    loaders = [
        DataLoader(part, batch_size=2, collate_fn=padded, num_workers=k)
        for part, k in zip(DATA, (2, 0, 0), strict=True)
    ]
    splits = as_item_splits(loaders)
    assert (splits.train.workers, splits.train.collate, len(splits.train)) == (2, padded, 48)
    with_loaders = dataclasses.replace(READING, data=lambda folder: loaders, collate=None)
    assert equal(run(with_loaders)[0], run()[0])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"sampler": WeightedRandomSampler([1.0] * 48, 48)}, "no sampler of its own, as the run orders samples"),
        ({"sampler": RandomSampler(DATA[0], num_samples=9)}, "no sampler of its own, .* got a RandomSampler"),
        ({"batch_sampler": [[0, 1], [2]]}, "no batch_sampler of its own, .* got a list"),
        ({"worker_init_fn": print}, "no worker_init_fn, as the run seeds every sample"),
    ],
)
def test_what_a_dataloader_does_of_its_own_is_refused(options, sentence):
    with pytest.raises(InputError, match=sentence):
        as_item_splits([DataLoader(DATA[0], **options), DATA[1], DATA[2]])


@pytest.mark.parametrize("data", [DATA, [Flow(), DATA[1], DATA[2]]], ids=["items", "stream"])
def test_it_resumes_to_the_last_bit(data, tmp_path):
    class StopError(Exception):
        pass

    def stop(seen):
        if seen.validations == 2:
            raise StopError

    def step(model, batch):
        if isinstance(batch, torch.Tensor):
            return (model.last.weight.sum() - batch.mean()) ** 2
        return loss_of(model, batch)

    workload = dataclasses.replace(
        READING, data=lambda folder: data, training_step=step, name="x",
        collate=lambda some: torch.stack(some) if isinstance(some[0], torch.Tensor) else padded(some),
    )  # fmt: skip
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    with pytest.raises(StopError):
        run(workload, lr=0.01, checkpoint=checkpoint, progress=stop)
    found, outcome = run(workload, lr=0.01, checkpoint=checkpoint)
    whole, expected = run(workload, lr=0.01)
    assert equal(found, whole)
    assert dataclasses.replace(outcome, seconds=0) == dataclasses.replace(expected, seconds=0)


@dataclasses.dataclass
class Boxes:
    image: torch.Tensor
    names: list
    area: float = dataclasses.field(init=False, default=2.0)


def test_a_nested_batch_is_moved_whole():
    class Encoded(dict):
        seen: ClassVar[list] = []

        def to(self, device):
            self.seen.append(device)
            return self

    there = moved(
        {"b": Boxes(torch.ones(2), ["a"]), "e": Encoded(), "n": None, "t": (1, torch.zeros(1))}, torch.device("meta")
    )
    assert (there["b"].image.device.type, there["b"].names, there["t"][1].device.type) == ("meta", ["a"], "meta")
    assert Encoded.seen == [torch.device("meta")]


def test_data_are_told_apart_by_what_is_in_them():
    changed = [*DATA[0][:-1], {"ids": torch.tensor([1, 2]), "label": 1}]
    assert Items.of(DATA[0]).digest() == Items.of([dict(s) for s in sentences(48, 0)]).digest()
    assert Items.of(DATA[0]).digest() != Items.of(changed).digest()
    assert Items.of([Boxes(torch.ones(2), ["a"])]).digest() != Items.of([Boxes(torch.ones(2), ["b"])]).digest()
    assert Items.of([np.arange(3)]).digest() != Items.of([np.arange(3.0)]).digest()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"evaluation_step": None}, "workload 'reading': give training_step and evaluation_step, or neither"),
        (
            {"training_step": None, "evaluation_step": None},
            "collate makes batches for training_step, which is not given",
        ),
        ({"augment": lambda x, g: x}, "augment is of inputs in one tensor"),
        ({"metrics": {"f1": 3}}, r"metrics\['f1'\] must be a function or have update and compute, got 3"),
    ],
)
def test_fields_that_do_not_go_together_are_refused(changes, sentence):
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(READING, **changes)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"evaluation_step": lambda m, b: 3},
            "must return a mapping from names to means, got int",
        ),
        ({"evaluation_step": lambda m, b: {"loss": 1.0}}, "must say 'accuracy', got 'loss'"),
        ({"evaluation_step": lambda m, b: {"accuracy": 1.0}}, "must say 'loss', got 'accuracy'"),
        (
            {"evaluation_step": lambda m, b: {"loss": 1.0, "accuracy": 1.0}, "metrics": {"f1": f1}},
            "must say 'outputs' too, which the metrics of whole splits are of",
        ),
        ({"metrics": {"f1": lambda o, t: "x"}}, r"metrics\['f1'\] of 'reading' must be one number, got str"),
        (
            {"training_step": lambda m, b: 3.0},
            r"training_step\(model, batch\) must return a 0-dim tensor, .* got float",
        ),
        (
            {"data": lambda folder: [Flow.__new__(Flow), DATA[1]]},
            "must be three parts, .* test, got 2",
        ),
        ({"data": lambda folder: [3, DATA[1], DATA[2]]}, "must be a dataset, a sequence or a DataLoader, got a int"),
        ({"data": lambda folder: [[], DATA[1], DATA[2]]}, "a split needs at least one sample, got an empty dataset"),
    ],
)
def test_what_steps_give_that_cannot_be_used_is_one_sentence(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        run(dataclasses.replace(READING, **changes))

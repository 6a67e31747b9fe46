"""Counts of classes: scikit-learn as the oracle, every shape, layers, ranks, and that nothing waits."""

import copy
import pickle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from steepest.schedules import ConfusionCounts
from tests.ranks import on_ranks

C = 4


def drawn(*shape, classes=C, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, classes, generator=generator), torch.randint(classes, shape, generator=generator)


def expected(logits, targets):
    """The oracle, of class scores in the last dimension."""
    y, p = targets.flatten(), logits.argmax(-1).flatten()
    return torch.from_numpy(confusion_matrix(y, p, labels=range(logits.shape[-1])))


@given(st.lists(st.integers(0, 9), min_size=1, max_size=4), st.integers(2, 6), st.integers(0, 99))
def test_the_table_is_scikit_learns_however_the_batches_are_cut(batches, classes, seed):
    parts = [drawn(size, classes=classes, seed=seed + i) for i, size in enumerate(batches)]
    seen = ConfusionCounts(classes)
    for part in parts:
        seen.update(*part)
    logits, targets = (torch.cat(list(side)) for side in zip(*parts, strict=True))
    assert torch.equal(
        seen.table(), expected(logits, targets) if len(targets) else torch.zeros(classes, classes).long()
    )


@pytest.mark.parametrize("shape", [(5,), (5, 3), (5, 3, 2)])
@pytest.mark.parametrize("classes", [C, None])
def test_classes_last_or_second(shape, classes):
    logits, targets = drawn(*shape)
    for given_logits in (logits, logits.movedim(-1, 1).contiguous()):
        seen = ConfusionCounts(classes)
        seen.update(given_logits, targets.to(torch.uint8))
        assert torch.equal(seen.table(), expected(logits, targets))


def test_two_readings_of_the_shapes_are_told_apart_by_the_classes_or_refused():
    logits, targets = torch.randn(5, C, C), torch.randint(C, (5, C))
    with pytest.raises(ValueError, match=r"cannot be told, got logits \(5, 4, 4\) and targets \(5, 4\); flatten both"):
        ConfusionCounts(C).update(logits, targets)
    seen = ConfusionCounts(C)
    seen.update(logits.flatten(0, 1), targets.flatten())
    assert seen.table().sum() == 5 * C


def test_ignored_targets_are_passed_over_and_others_out_of_range_reported():
    logits, targets = drawn(50)
    ignored = targets.clone()
    ignored[::3] = -100
    seen = ConfusionCounts(C, ignore_index=-100)
    seen.update(logits, ignored)
    kept = ignored >= 0
    assert torch.equal(seen.table(), expected(logits[kept], targets[kept]))
    ignored[1], ignored[2] = C, -1
    seen.update(logits, ignored)
    for _ in range(2):
        with pytest.raises(ValueError, match="targets lie outside the class numbers 0 to 3: 2 of them"):
            seen.table()
    seen.reset()
    assert seen.table().sum() == 0


@pytest.mark.parametrize(
    ("logits", "targets", "error", "sentence"),
    [
        (torch.zeros(3, 5), torch.zeros(3).long(), ValueError, r"must be \(N, 4\), .*got logits \(3, 5\)"),
        (torch.zeros(3, 4), torch.zeros(2).long(), ValueError, r"logits \(3, 4\) and targets \(2,\)"),
        (torch.zeros(4), torch.tensor(1), ValueError, r"got logits \(4,\) and targets \(\)"),
        (torch.zeros(3, 4), torch.zeros(3), TypeError, "targets must be integers, .*got torch.float32"),
        (torch.zeros(3, 4).long(), torch.zeros(3).long(), TypeError, "logits must be floats, .*got torch.int64"),
        ([1.0], torch.zeros(1).long(), TypeError, "logits must be a tensor, got list"),
        (torch.zeros(3, 4, device="meta"), torch.zeros(3, device="meta").long(), ValueError, "lies on cpu, .*meta"),
    ],
)
def test_what_cannot_be_counted_is_refused_and_counts_nothing(logits, targets, error, sentence):
    seen = ConfusionCounts(C)
    seen.update(*drawn(3))
    before = seen.table()
    with pytest.raises(error, match=sentence):
        seen.update(logits, targets)
    assert torch.equal(seen.table(), before)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "sentence"),
    [
        ((1,), {}, ValueError, "classes must be an integer of at least 2, or None, got 1"),
        ((2.0,), {}, ValueError, "classes must be an integer of at least 2, or None, got 2.0"),
        ((2,), {"layers": ["0"]}, ValueError, "layers are names of modules of a model, and no model is given"),
        ((2,), {"model": "mlp"}, TypeError, "model must be a torch.nn.Module, got str"),
        ((2,), {"model": nn.Linear(1, 1), "layers": "0"}, TypeError, "must be a list of names, got the string '0'"),
        ((2,), {"model": nn.Linear(1, 1), "layers": ["0"]}, ValueError, "must name modules of the model, got '0'"),
        ((2,), {"model": nn.Linear(1, 1), "layers": []}, ValueError, "must name a module of the model, got none"),
        ((2,), {"model": nn.ReLU()}, ValueError, "the model has no layer"),
        ((2,), {"model": nn.LazyLinear(2)}, ValueError, "'weight' has no shape yet: run a batch"),
        ((2,), {"ignore_index": "no"}, ValueError, "ignore_index must be an integer or None, got 'no'"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(arguments, options, error, sentence):
    with pytest.raises(error, match=sentence):
        ConfusionCounts(*arguments, **options)


def test_nothing_counted():
    assert ConfusionCounts(3).table().tolist() == [[0] * 3] * 3
    with pytest.raises(ValueError, match="nothing has been counted, and classes is None"):
        ConfusionCounts(None).table()
    with pytest.raises(ValueError, match="only with a model"):
        ConfusionCounts(3).tables()


class Waiting(TorchDispatchMode):
    """Names every operation that reads a number from the device, or whose result's size it decides."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func)
        if any(
            word in name for word in ("_local_scalar_dense", "nonzero", "bincount", "unique", "masked_select", "equal")
        ):
            self.found.append(name)
        if "index.Tensor" in name:
            self.found += [name for index in args[1] if index is not None and index.dtype == torch.bool]
        return func(*args, **(kwargs or {}))


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(96, 5), nn.ReLU(), nn.Linear(5, C)
    )


def test_an_update_never_waits_for_the_device():
    model = network()
    with ConfusionCounts(C, model=model, ignore_index=-1) as seen, Waiting() as waiting:
        for _ in range(2):
            seen.update(model(torch.randn(7, 1, 6, 6)), torch.randint(C, (7,)))
    assert waiting.found == []
    with waiting:
        seen.table()
    assert waiting.found != []
    # On the meta device there is no number to read: whatever asks for one raises.
    ConfusionCounts(C).update(torch.zeros(3, C, device="meta"), torch.zeros(3, dtype=torch.int64, device="meta"))


def test_every_layer_has_a_table_of_its_codes():
    model = network()
    seen = ConfusionCounts(C, model=model)
    totals = {"0": torch.zeros(C, 6), "4": torch.zeros(C, 5), "6": torch.zeros(C, C)}
    for seed in range(3):
        x, y = torch.randn(8, 1, 6, 6, generator=torch.Generator().manual_seed(seed)), torch.randint(C, (8,))
        with torch.no_grad():
            said = {"0": model[0](x).mean((2, 3)), "4": model[:5](x), "6": model(x)}
        seen.update(model(x), y)
        for name, outputs in said.items():
            totals[name].index_put_((y, outputs.argmax(-1)), torch.ones(8), accumulate=True)
    found = seen.tables()
    assert {name: table.tolist() for name, table in found.items()} == {n: t.tolist() for n, t in totals.items()}
    assert torch.equal(found["6"], seen.table())


def test_layers_are_watched_in_training_only_and_until_they_are_let_go():
    model, x, y = network(), torch.randn(8, 1, 6, 6), torch.randint(C, (8,))
    with ConfusionCounts(C, model=model, layers=["4"]) as seen:
        seen.update(model(x), y)
        model.eval()
        model(x)
        model.train()
        with torch.no_grad():
            logits = model(x)
        with pytest.raises(ValueError, match="no layer has said anything since the last update"):
            seen.update(logits, y)
        model(x[:3])
        with pytest.raises(ValueError, match=r"layer '4' has an output for \(3,\) samples, .* shape \(8,\)"):
            seen.update(logits, y)
        assert list(seen.tables()) == ["4"]
        assert seen.tables()["4"].sum() == seen.table().sum() == 8
    assert not any(module._forward_hooks for module in model.modules())
    assert seen.tables()["4"].sum() == 8


def test_a_copied_model_watches_nothing():
    model = network()
    with ConfusionCounts(C, model=model) as seen:
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            other(torch.randn(2, 1, 6, 6))
        with pytest.raises(ValueError, match="no layer has said anything"):
            seen.update(*drawn(2))


class Sequences(nn.Module):
    """Embedding, LSTM that is not batch first, attention, and a head for every position or for the whole."""

    def __init__(self, whole):
        super().__init__()
        self.embed, self.lstm = nn.Embedding(11, 8), nn.LSTM(8, 8)
        self.attention, self.norm = nn.MultiheadAttention(8, 2, batch_first=True), nn.LayerNorm(8)
        self.head, self.whole = nn.utils.parametrizations.weight_norm(nn.Linear(8, C)), whole

    def forward(self, x):
        h = self.lstm(self.embed(x).transpose(0, 1))[0].transpose(0, 1)
        h = self.norm(h + self.attention(h, h, h)[0])
        return self.head(h.mean(1) if self.whole else h)


@pytest.mark.parametrize("whole", [True, False])
def test_layers_of_sequences(whole):
    torch.manual_seed(0)
    model, x = Sequences(whole), torch.randint(11, (6, 3))
    y = torch.randint(C, (6,) if whole else (6, 3))
    spoken = {}
    model.lstm.register_forward_hook(lambda _, __, out: spoken.update(lstm=out[0].detach().transpose(0, 1)))
    model.attention.register_forward_hook(lambda _, __, out: spoken.update(attention=out[0].detach()))
    with ConfusionCounts(C, model=model) as seen:
        seen.update(model(x), y)
    found = seen.tables()
    assert list(found) == ["embed", "lstm", "attention", "attention.out_proj", "head"]
    for name in ("lstm", "attention"):
        code = (spoken[name].mean(1) if whole else spoken[name]).argmax(-1)
        expected_table = torch.zeros(C, 8).index_put_((y, code), torch.tensor(1.0), accumulate=True)
        assert found[name].tolist() == expected_table.tolist()
    assert torch.equal(found["attention"], found["attention.out_proj"])
    assert torch.equal(found["head"], seen.table())


def test_a_convolution_speaks_of_a_picture_and_thereby_of_each_of_its_pixels():
    model = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, C, 1))
    x, y = torch.randn(2, 1, 5, 4), torch.randint(C, (2, 5, 4))
    with ConfusionCounts(C, model=model) as seen:
        seen.update(model(x), y)
    code = model[0](x).mean((2, 3)).argmax(1)
    table = torch.zeros(C, 6)
    for picture in range(2):
        for label in y[picture].flatten():
            table[label, code[picture]] += 1
    assert seen.tables()["0"].tolist() == table.tolist()


class Positions(nn.Module):
    """A layer whose output has no samples: an embedding of positions."""

    def __init__(self):
        super().__init__()
        self.symbols, self.positions, self.head = nn.Embedding(7, 5), nn.Embedding(6, 5), nn.Linear(5, C)

    def forward(self, x):
        return self.head(self.symbols(x) + self.positions(torch.arange(x.shape[1])))


def test_a_layer_speaks_of_positions_where_it_has_no_samples():
    model, y = Positions(), torch.randint(C, (2, 6))
    with ConfusionCounts(C, model=model) as seen:
        seen.update(model(torch.randint(7, (2, 6))), y)
        code = model.positions.weight.argmax(-1).expand(2, 6)
        expected_table = torch.zeros(C, 5).index_put_((y, code), torch.tensor(1.0), accumulate=True)
        assert seen.tables()["positions"].tolist() == expected_table.tolist()
        x = torch.randint(7, (6, 6))
        with pytest.raises(ValueError, match="whether layer 'positions' has an output for each sample or for each pos"):
            seen.update(model(x), torch.randint(C, (6, 6)))


def test_a_layer_that_is_not_run_has_no_table():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = nn.Linear(3, C), nn.Linear(3, C)

        def forward(self, x):
            return self.used(x)

    model = Heads()
    with ConfusionCounts(C, model=model) as seen:
        seen.update(model(torch.randn(2, 3)), torch.tensor([0, 1]))
    assert list(seen.tables()) == ["used"]


def test_a_saved_state_goes_on_bit_for_bit():
    model = network()
    whole = ConfusionCounts(None, model=model)
    first = [(torch.randn(8, 1, 6, 6), torch.randint(C, (8,))) for _ in range(4)]
    for x, y in first[:2]:
        whole.update(model(x), y)
    state = torch.load(saved(whole.state_dict()), weights_only=True)
    for x, y in first[2:]:
        whole.update(model(x), y)
    with ConfusionCounts(C, model=copy.deepcopy(model)) as again:
        again.load_state_dict(state)
        rerun = copy.deepcopy(again.state_dict())
        assert torch.equal(rerun["counts"], state["counts"])
    whole.remove()
    with ConfusionCounts(None, model=model) as again:
        again.load_state_dict(state)
        for x, y in first[2:]:
            again.update(model(x), y)
    assert torch.equal(again.table(), whole.table())
    assert all(torch.equal(a, b) for a, b in zip(again.tables().values(), whole.tables().values(), strict=True))
    with pytest.raises(ValueError, match="has counts of 4 classes, and classes is 3"):
        ConfusionCounts(3).load_state_dict(state)
    with pytest.raises(ValueError, match="has counts of layer '0', and the layers are"):
        ConfusionCounts(C).load_state_dict(state)


def saved(state):
    import io

    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return file


def count_on_a_rank(rank):
    """Of eight batches every rank counts its own; reads twice; then one that only rank 0 has seen."""
    model = network()
    with ConfusionCounts(C, model=model) as seen:
        for i, (x, y) in enumerate(batches()):
            if i % 2 == rank:
                seen.update(model(x), y)
    found = [seen.table(), seen.table(), *seen.tables().values()]
    lonely = ConfusionCounts(None, model=model)
    if rank == 0:
        x, y = batches()[0]
        lonely.update(model(x), y)
    found += [lonely.table(), *lonely.tables().values()]
    outside = ConfusionCounts(C)
    outside.update(torch.zeros(1, C), torch.tensor([C if rank == 0 else 0]))
    try:
        outside.table()
    except ValueError as error:
        return found, str(error)


def batches():
    generator = torch.Generator().manual_seed(5)
    return [
        (torch.randn(3, 1, 6, 6, generator=generator), torch.randint(C, (3,), generator=generator)) for _ in range(8)
    ]


def test_two_ranks_count_as_one():
    (first, said), (second, also) = on_ranks(count_on_a_rank)
    model = network()
    with ConfusionCounts(C, model=model) as seen:
        for x, y in batches():
            seen.update(model(x), y)
    alone = [seen.table(), seen.table(), *seen.tables().values()]
    with ConfusionCounts(C, model=model) as seen:
        x, y = batches()[0]
        seen.update(model(x), y)
    alone += [seen.table(), *seen.tables().values()]
    for tables in (first, second):
        assert [t.tolist() for t in tables] == [t.tolist() for t in alone]
    assert said == also == "targets lie outside the class numbers 0 to 3: 1 of them"

"""Output blocks: which classes have logits when, and the network that has them."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.spiking.continual import ContinualNet, OutputBlocks

CLASSES = ((4, 1), (0, 3, 6), (5, 2))


def train_on(layer, *tasks):
    for task in tasks:
        layer.set_task(task)
        layer.train()(torch.zeros(1, 3))
    return layer


def slow_logits(layer, x, seen, centre):
    """Class by class, in lists."""
    rows = []
    for sample in x.tolist():
        found = {}
        for task in seen:
            own = list(CLASSES[task])
            weight, bias = layer.weight[own].tolist(), layer.bias[own].tolist()
            flat = [value for row in weight for value in row]
            for i, label in enumerate(CLASSES[task]):
                total = bias[i] - (0 if centre == "none" else sum(bias) / len(bias))
                for j, value in enumerate(sample):
                    if centre == "block":
                        mean = sum(flat) / len(flat)
                    else:
                        mean = sum(row[j] for row in weight) / len(weight) if centre == "input" else 0
                    total += (weight[i][j] - mean) * value
                found[label] = total
        below = min(found.values()) - 1
        rows.append([found.get(label, below) for label in range(7)])
    return torch.tensor(rows, dtype=torch.float64)


@settings(deadline=None, max_examples=30)
@given(
    seed=st.integers(0, 1000),
    seen=st.sets(st.integers(0, 2), min_size=1),
    centre=st.sampled_from(["block", "input", "none"]),
)
def test_evaluated_logits_are_those_of_the_slow_form(seed, seen, centre):
    torch.manual_seed(seed)
    layer = train_on(OutputBlocks(3, CLASSES, centre, dtype=torch.float64).float(), *seen).double().eval()
    x = torch.randn(4, 3, dtype=torch.float64)
    expected = slow_logits(layer, x, sorted(seen), centre)
    for told in range(3):
        layer.set_task(told)  # it must not matter
        assert torch.allclose(layer(x), expected)
    labels = [label for task in seen for label in CLASSES[task]]
    assert set(layer(x).argmax(1).tolist()) <= set(labels)


def test_training_has_the_block_of_its_task_alone():
    layer = OutputBlocks(3, CLASSES)
    layer.set_task(1)
    x = torch.randn(5, 3)
    logits = layer(x)
    assert torch.equal(logits[:, [0, 3, 6]], F.linear(x, layer.weight[[0, 3, 6]], layer.bias[[0, 3, 6]]))
    assert (logits[:, [1, 2, 4, 5]] == -torch.inf).all()
    F.cross_entropy(logits, torch.tensor([0, 3, 6, 0, 3])).backward()
    for p in layer.parameters():
        assert torch.isfinite(p.grad).all()
        assert p.grad[[0, 3, 6]].abs().min() > 0
        assert p.grad[[1, 2, 4, 5]].abs().max() == 0


def test_training_marks_a_block_as_seen_and_nothing_else_does():
    layer = OutputBlocks(3, CLASSES)
    layer.set_task(2)
    assert torch.equal(layer.eval()(torch.randn(2, 3)), torch.zeros(2, 7))
    with layer.all_seen():
        layer.train()(torch.zeros(1, 3))
    assert not layer.seen.any()
    layer(torch.zeros(1, 3))
    assert layer.seen.tolist() == [False, False, True]
    other = OutputBlocks(3, CLASSES)
    other.load_state_dict(layer.state_dict())
    assert other.seen.tolist() == [False, False, True]


def test_a_loss_is_finite_for_classes_that_have_not_been_seen():
    layer = train_on(OutputBlocks(3, CLASSES), 0).eval()
    logits = layer(torch.randn(6, 3))
    assert torch.isfinite(F.cross_entropy(logits, torch.tensor([0, 6, 3, 5, 2, 1])))
    unseen = logits[:, [0, 2, 3, 5, 6]]
    assert torch.equal(unseen, (logits[:, [4, 1]].amin(1, keepdim=True) - 1).expand(-1, 5))


def test_all_seen_blocks_train_together_as_they_are_evaluated():
    layer = train_on(OutputBlocks(3, CLASSES), 0, 1)
    x = torch.randn(5, 3)
    evaluated = layer.eval()(x)
    layer.train()
    with layer.all_seen():
        logits = layer(x)
        F.cross_entropy(logits, torch.tensor([4, 1, 0, 3, 6])).backward()
    seen, unseen = [4, 1, 0, 3, 6], [5, 2]
    assert torch.equal(logits[:, seen], evaluated[:, seen])
    assert (logits[:, unseen] == -torch.inf).all()
    assert layer.weight.grad[seen].abs().amax(dim=1).min() > 0
    assert layer.weight.grad[unseen].abs().max() == 0
    assert layer.together is False
    assert (layer(x)[:, [4, 1]] == -torch.inf).all()  # as before


def test_a_network_has_the_same_weights_with_and_without_blocks():
    nets = []
    for blocks in (False, True):
        torch.manual_seed(4)
        nets.append(ContinualNet(12, 5, CLASSES, blocks=blocks))
    torch.manual_seed(4)
    nets.append(ContinualNet(12, 5, CLASSES))
    nets[2].use_blocks()
    x = torch.randn(3, 3, 4)
    plain, with_blocks, cut = nets
    for net in (with_blocks, cut):
        assert torch.equal(net.hidden.weight, plain.hidden.weight)
        assert torch.equal(net.hidden.bias, plain.hidden.bias)
        for task, labels in enumerate(CLASSES):
            net.set_task(task)
            assert torch.allclose(net(x)[:, list(labels)], plain(x)[:, list(labels)])
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), cut.parameters(), strict=True))
    plain.set_task(2)
    with plain.all_seen():
        assert torch.isfinite(plain(x)).all()


@pytest.mark.parametrize(
    ("classes", "sentence"),
    [
        ([], "at least one label for each of at least one task"),
        ([(0, 1), ()], "at least one label for each of at least one task"),
        ([(0, 1), (1, 2)], "each label once, none below 0, got 1"),
        ([(0, -1)], "each label once, none below 0, got -1"),
        ([(0, 1.0)], "labels, integers of at least 0, got 1.0"),
    ],
)
def test_classes_that_are_no_tasks_are_refused(classes, sentence):
    for make in (lambda: OutputBlocks(3, classes), lambda: ContinualNet(3, 4, classes)):
        with pytest.raises(ValueError, match=sentence):
            make()


def test_other_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="centre must be 'block', 'input' or 'none', got 'mean'"):
        OutputBlocks(3, CLASSES, "mean")
    for task in (-1, 3):
        with pytest.raises(ValueError, match=f"task must be from 0 to 2, got {task}"):
            OutputBlocks(3, CLASSES).set_task(task)

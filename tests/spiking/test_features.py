"""Features from a spiking convolution: what they are, and that both they and the filters are kept in files."""

import pytest
import torch

from steepest._errors import InputError
from steepest.data.emnist import emnist
from steepest.spiking import FeatureSettings, encode, extract_features, learn_filters, pool_spikes
from steepest.spiking.features import cache_folder
from steepest.spiking.workloads import load_grey, some_of, spiking_features, spiking_mnist, spiking_workload
from tests.spiking.files import bars, write_mnist

SMALL = FeatureSettings(maps=6, images=60)


@pytest.fixture
def images():
    return bars(80, 3)[0]


def test_features_are_pooled_spikes_at_any_time(images):
    learnt = learn_filters(images, SMALL)
    found = extract_features(learnt.layer, images)
    spikes = pool_spikes(learnt.layer(encode(images))).any(dim=0)
    assert torch.equal(found, spikes.flatten(1))
    assert found.shape == (80, SMALL.count) == (80, 6 * 11 * 11)
    assert 0 < found.float().mean() < 0.5


def test_filters_grow(images):
    learnt = learn_filters(images, FeatureSettings(maps=6, images=400))
    assert learnt.seen[0] == 0
    assert learnt.seen[-1] == 400
    assert learnt.snapshots.shape == (len(learnt.seen), 6, 2, 5, 5)
    assert torch.equal(learnt.snapshots[-1], learnt.layer.weight)
    assert learnt.convergence == pytest.approx([(w * (1 - w)).mean().item() for w in learnt.snapshots])
    assert not torch.equal(learnt.snapshots[0], learnt.snapshots[-1])


def test_everything_follows_from_the_seed_and_the_global_generator_stays(images):
    torch.manual_seed(5)
    first = learn_filters(images, SMALL).layer.weight
    drawn = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(drawn, torch.rand(1))
    torch.manual_seed(6)
    assert torch.equal(first, learn_filters(images, SMALL).layer.weight)
    assert not torch.equal(first, learn_filters(images, FeatureSettings(maps=6, images=60, seed=1)).layer.weight)


def test_both_are_read_from_the_cache_and_computed_again_if_it_is_damaged(images, tmp_path, monkeypatch):
    learnt = learn_filters(images, SMALL, tmp_path)
    found = extract_features(learnt.layer, images, cache=tmp_path)
    files = sorted(tmp_path.iterdir())
    assert [f.name.partition("-")[0] for f in files] == ["features", "filters"]
    told = []
    again = learn_filters(images, SMALL, tmp_path, lambda *seen: told.append(seen))
    assert torch.equal(extract_features(again.layer, images, cache=tmp_path, progress=lambda *s: told.append(s)), found)
    assert told == []
    torch.save({"features": torch.zeros(1)}, files[1])
    files[0].write_bytes(files[0].read_bytes()[:100])
    again = learn_filters(images, SMALL, tmp_path, lambda *seen: told.append(seen))
    assert torch.equal(extract_features(again.layer, images, cache=tmp_path, progress=lambda *s: told.append(s)), found)
    assert {name for name, _ in told} == {"filters", "features"}
    assert torch.equal(learn_filters(images, SMALL, tmp_path).snapshots, learnt.snapshots)


def test_the_cache_knows_data_and_weights_apart(images, tmp_path):
    learnt = learn_filters(images, SMALL, tmp_path)
    extract_features(learnt.layer, images, cache=tmp_path)
    others = images.clone()
    others[0, 5, 5] += 1
    extract_features(learnt.layer, others, cache=tmp_path)
    extract_features(learnt.layer, images, cache=tmp_path, contrast=40.0)
    with torch.no_grad():
        learnt.layer.weight[0, 0, 0, 0] += 0.125
    extract_features(learnt.layer, images, cache=tmp_path)
    learnt.layer.threshold = 14.0
    extract_features(learnt.layer, images, cache=tmp_path)
    assert len(list(tmp_path.glob("features-*"))) == 5


def test_a_cache_that_cannot_be_written_costs_no_features(images, tmp_path):
    (tmp_path / "file").write_text("")
    learnt = learn_filters(images, SMALL, tmp_path / "file" / "cache")
    assert extract_features(learnt.layer, images, cache=tmp_path / "file" / "cache").any()


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("STEEPEST_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    monkeypatch.delenv("STEEPEST_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "steepest"


def test_random_filters_make_as_many_features_active(images):
    settings = FeatureSettings(maps=6, images=400, filters="random")
    random, grown = learn_filters(images, settings), learn_filters(images, FeatureSettings(maps=6, images=400))
    mine, theirs = (extract_features(x.layer, images).float().mean().item() for x in (random, grown))
    assert mine == pytest.approx(theirs, rel=0.05)
    assert (random.layer.weight.mean() - grown.layer.weight.mean()).abs() < 0.05
    assert random.layer.threshold != grown.layer.threshold
    initial = learn_filters(images, FeatureSettings(maps=6, filters="initial"))
    assert initial.seen == [0]
    assert initial.layer.weight.mean().item() == pytest.approx(0.8, abs=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"maps": 0}, "maps must be an integer of at least 1, got 0"),
        ({"images": 0.5}, "images must be an integer of at least 1, got 0.5"),
        ({"kernel_size": 27}, "kernel_size must be at most 26, got 27"),
        ({"history": -1}, "history must be an integer of at least 0, got -1"),
        ({"threshold": 0.0}, "threshold must be a finite number above 0, got 0.0"),
        ({"contrast": float("inf")}, "contrast must be a finite number of at least 0, got inf"),
        ({"filters": "gabor"}, "filters must be one of stdp, initial, random, got 'gabor'"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        FeatureSettings(**options)


def test_a_workload_has_features_of_three_parts(tmp_path, monkeypatch):
    monkeypatch.setenv("STEEPEST_CACHE", str(tmp_path / "cache"))
    workload = spiking_workload("mnist", SMALL, hidden=20)
    splits = workload.data(write_mnist(tmp_path / "data"))
    assert [tuple(part.inputs.shape) for part in splits] == [(270, 726), (30, 726), (60, 726)]
    assert splits.train.inputs.dtype == torch.bool
    assert workload.model()(splits.test.inputs).shape == (60, 10)
    grey = load_grey("mnist", tmp_path / "data")
    some, _ = spiking_features(grey, SMALL, torch.tensor([3, 1]))
    assert torch.equal(some.train.inputs, splits.train.inputs[[3, 1]])
    assert torch.equal(some_of(grey, torch.tensor([3, 1])).train.targets, splits.train.targets[[3, 1]])


def test_workloads_are_built_without_a_random_number():
    torch.manual_seed(1)
    spiking_workload("mnist")
    drawn = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(drawn, torch.rand(1))
    assert spiking_mnist.model().hidden.weight.shape == (1500, 3630)


def test_what_no_workload_can_be_made_of_is_refused(tmp_path):
    with pytest.raises(InputError, match="the data set must be one of mnist, fashion-mnist, emnist, got 'cifar'"):
        spiking_workload("cifar")
    with pytest.raises(InputError, match="the data set must be one of"):
        load_grey("cifar")
    with pytest.raises(InputError, match=r"emnist needs the file .* it is not in"):
        emnist(tmp_path)
    (tmp_path / "emnist").mkdir()
    file = tmp_path / "emnist" / "bymerge-subset.npz"
    file.write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"must be an \.npz file with train_images"):
        emnist(tmp_path)


def test_emnist_is_read(tmp_path):
    import numpy as np

    (tmp_path / "emnist").mkdir()
    images, labels = bars(94, 0)
    parts = {"train_images": images.numpy(), "train_labels": labels.numpy().astype(np.uint8)}
    parts |= {"test_images": images[:7].numpy(), "test_labels": labels[:7].numpy()}
    np.savez(tmp_path / "emnist" / "bymerge-subset.npz", **parts)
    found = emnist(tmp_path)
    assert [len(part) for part in found] == [85, 9, 7]
    assert found.test.targets.dtype == torch.int64
    np.savez(tmp_path / "emnist" / "bymerge-subset.npz", **{**parts, "train_images": np.zeros((94, 3), np.uint8)})
    with pytest.raises(InputError, match="must hold images uint8"):
        emnist(tmp_path)

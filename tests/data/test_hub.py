"""Data sets in the layout of the hub, from a local folder: which columns, which parts, which errors."""

import datasets
import pyarrow
import pyarrow.parquet
import pytest
import torch

from steepest._errors import InputError
from steepest.data import cifar10, hub_images, load_hub_images
from steepest.data.hub import find_hub_images
from tests.data.pictures import encoded, picture, write_parquet

INTEGER, TEXT = datasets.Value("int64"), datasets.Value("string")


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def write(folder, *, image="image", feature=INTEGER, values=(0, 1), label="label", size=(32, 32), **counts):
    """A data set whose labels take turns."""
    parts = {part: [picture(100 * len(part) + i, size) for i in range(count)] for part, count in counts.items()}
    labels = {part: [values[i % len(values)] for i in range(count)] for part, count in counts.items()}
    write_parquet(folder, parts, image, **{label: (feature, labels)})
    return str(folder)


@pytest.mark.parametrize(
    ("counts", "sizes"),
    [
        ({"train": 20, "test": 4}, [18, 2, 4]),
        ({"train": 20, "validation": 5, "test": 4}, [20, 5, 4]),
        ({"train": 20, "validation": 5}, [18, 2, 5]),
        ({"train": 20}, [14, 2, 4]),
    ],
)
def test_parts(tmp_path, counts, sizes):
    splits = hub_images(write(tmp_path / "d", **counts))
    assert [len(split) for split in splits] == sizes
    assert splits.train.inputs.shape[1:] == (3, 32, 32)
    assert splits.train.inputs.mean().abs() < 1e-5
    everything = torch.cat([split.inputs for split in splits]).flatten(1)
    assert len(everything.unique(dim=0)) == sum(counts.values())


@pytest.mark.parametrize(
    ("image", "label", "feature", "values"),
    [
        ("img", "label", datasets.ClassLabel(names=["cat", "dog"]), [0, 1]),
        ("picture", "kind", TEXT, ["dog", "cat"]),
        ("image", "digit", INTEGER, [7, 3]),
    ],
)
def test_columns_are_found_by_their_types(tmp_path, image, label, feature, values):
    name = write(tmp_path / "d", image=image, label=label, feature=feature, values=values, train=20, test=4)
    found = find_hub_images(name)
    assert (found.image, found.label, found.classes()) == (image, label, sorted(values))
    assert hub_images(name).test.targets.tolist() == [sorted(values).index(values[i % 2]) for i in range(4)]


def test_several_columns_of_labels(tmp_path):
    kind = datasets.ClassLabel(num_classes=4)
    labels = {"train": [i % 4 for i in range(20)]}
    coarse = {"train": [i % 2 for i in range(20)]}
    images = {"train": [picture(i) for i in range(20)]}
    write_parquet(tmp_path / "d", images, fine=(kind, labels), coarse=(kind, coarse))
    with pytest.raises(InputError, match=r"one column of labels, got fine, coarse; choose one .*label=\.\.\.\)$"):
        hub_images(str(tmp_path / "d"))
    assert torch.cat([split.targets for split in hub_images(str(tmp_path / "d"), label="fine")]).max() == 3
    with pytest.raises(InputError, match=r"has no column 'finest'; its columns are image, fine, coarse"):
        hub_images(str(tmp_path / "d"), label="finest")
    write_parquet(tmp_path / "e", images, id=(INTEGER, {"train": list(range(20))}), label=(INTEGER, labels))
    assert len(find_hub_images(str(tmp_path / "e")).classes()) == 4  # the usual name settles it
    write_parquet(tmp_path / "f", images)
    with pytest.raises(InputError, match="one column of labels, got none"):
        hub_images(str(tmp_path / "f"))


def test_parquet_that_datasets_did_not_write(tmp_path):
    for part, count in (("train", 20), ("test", 4)):
        rows = {"image": [encoded(picture(i)) for i in range(count)], "label": [i % 2 for i in range(count)]}
        (tmp_path / "d").mkdir(exist_ok=True)
        pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "d" / f"{part}.parquet")
    assert load_hub_images(str(tmp_path / "d"))[0].inputs.shape == (20, 32, 32, 3)


def test_images_of_other_sizes(tmp_path):
    kind = {"train": [i % 2 for i in range(20)], "test": [0, 1]}
    images = {"train": [picture(i, (20 + i, 30)) for i in range(20)], "test": [picture(50), picture(51, mode="L")]}
    write_parquet(tmp_path / "d", images, label=(INTEGER, kind))
    assert hub_images(str(tmp_path / "d"), size=16).train.inputs.shape[1:] == (3, 16, 16)
    with pytest.raises(InputError, match=r"must have one shape, got \(30, 20, 3\) and \(30, 21, 3\); .*hub_images"):
        load_hub_images(str(tmp_path / "d"))


def test_data_sets_that_cannot_be_used(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty could not be loaded: "):
        hub_images(str(tmp_path / "empty"))
    with pytest.raises(InputError, match="must have at least 2 classes, got 1"):
        hub_images(write(tmp_path / "one", values=[3], train=20))
    with pytest.raises(InputError, match="must have a part train, got test"):
        hub_images(write(tmp_path / "only", test=20))
    with pytest.raises(InputError, match="has training samples without a label"):
        hub_images(write(tmp_path / "gap", values=[1, 2, None], train=20))
    with pytest.raises(InputError, match="must have the parts train and test, lacks test"):
        load_hub_images(write(tmp_path / "half", train=20))
    labels = {"train": [0, 1] * 5, "test": [-1, -1]}
    images = {"train": [picture(i) for i in range(10)], "test": [picture(i) for i in range(2)]}
    write_parquet(tmp_path / "hidden", images, label=(INTEGER, labels))
    with pytest.raises(InputError, match=r"part 'test' of .* has the label -1, which its training part has not"):
        hub_images(str(tmp_path / "hidden"))
    rows = {"image": [encoded(picture(i)) for i in range(19)] + [{"bytes": b"broken", "path": None}]}
    (tmp_path / "broken").mkdir()
    table = pyarrow.table({**rows, "label": [0, 1] * 10})
    pyarrow.parquet.write_table(table, tmp_path / "broken" / "train.parquet")
    with pytest.raises(InputError, match=r"image 19 of part 'train' of .*broken cannot be read: "):
        hub_images(str(tmp_path / "broken"))
    numbers = datasets.Dataset.from_dict({"label": [0, 1]})
    (tmp_path / "numbers").mkdir()
    numbers.to_parquet(tmp_path / "numbers" / "train.parquet")
    with pytest.raises(InputError, match="must have one column of images, got none; its columns are label"):
        hub_images(str(tmp_path / "numbers"))


def test_where_cifar10_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)  # imported before the variable was set
    with pytest.raises(
        InputError, match=r"folder cifar10 or cifar10-jpeg of the data folder: there are none in .* hub"
    ):
        cifar10(tmp_path)
    assert datasets.config.HF_HUB_OFFLINE  # so that nothing is tried again and again
    write(tmp_path / "cifar10-jpeg", train=20, test=4)
    assert [tuple(split.inputs.shape) for split in cifar10(tmp_path)] == [
        (18, 3, 32, 32),
        (2, 3, 32, 32),
        (4, 3, 32, 32),
    ]
    write(tmp_path / "cifar10", image="img", train=40, test=4)
    assert len(cifar10(tmp_path).train) == 36


def test_a_part_of_real_cifar10(real_data, tmp_path):
    """Of the test images, which decode in a second; what is read is what the files hold."""
    table = pyarrow.parquet.read_table(real_data / "cifar10-jpeg" / "test.parquet")
    (tmp_path / "cifar10").mkdir()
    for part, rows in (("train", slice(0, 300)), ("test", slice(300, 400))):
        pyarrow.parquet.write_table(table[rows], tmp_path / "cifar10" / f"{part}.parquet")
    splits = cifar10(tmp_path)
    assert [len(split) for split in splits] == [270, 30, 100]
    assert splits.test.targets.tolist() == table["label"][300:400].to_pylist()
    assert splits.train.inputs.is_contiguous()
    assert splits.train.inputs.std(correction=0).item() == pytest.approx(1, abs=1e-5)
    pixels = load_hub_images(str(tmp_path / "cifar10"))[1].inputs.permute(0, 3, 1, 2).float()
    back = splits.test.inputs - splits.test.inputs.mean()
    torch.testing.assert_close(back / back.std(), (pixels - pixels.mean()) / pixels.std())

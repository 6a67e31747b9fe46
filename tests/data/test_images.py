import gzip
import io

import numpy as np
import pytest
import torch

from steepest._errors import InputError
from steepest.data import images, load_hub_images
from steepest.data.images import FILES
from tests.data.test_idx import idx_bytes


def write_mnist_like(folder, zipped, train=40, test=10):
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for file in FILES:
        count = train if file.startswith("train") else test
        array = rng.integers(0, 256 if "images" in file else 10, (count, 28, 28) if "images" in file else (count,))
        raw = idx_bytes(array.astype(np.uint8))
        (folder / (file + ".gz" * zipped)).write_bytes(gzip.compress(raw) if zipped else raw)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("through_environment", [True, False])
def test_idx_files_are_found(tmp_path, monkeypatch, zipped, through_environment):
    write_mnist_like(tmp_path / "fashion-mnist", zipped)
    if through_environment:
        monkeypatch.setenv("STEEPEST_DATA", str(tmp_path))
    splits = images("fashion-mnist", None if through_environment else tmp_path)
    assert [len(split) for split in splits] == [36, 4, 10]
    assert splits.train.inputs.shape == (36, 1, 28, 28)
    assert splits.train.inputs.dtype == torch.float32
    assert splits.train.targets.dtype == torch.int64
    assert splits.train.inputs.mean().abs() < 1e-5


def test_missing_files_are_named_with_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("STEEPEST_DATA", raising=False)
    write_mnist_like(tmp_path / "mnist", True)
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(InputError) as error:
        images("mnist", tmp_path)
    for part in ("t10k-labels-idx1-ubyte.gz", str(tmp_path / "mnist"), "get them from https://", "the hub"):
        assert part in str(error.value)
    with pytest.raises(InputError, match=r"no data folder was given \(data_dir or STEEPEST_DATA\)"):
        images("mnist")


def test_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(InputError, match=r"data folder '.*nowhere' does not exist"):
        images("mnist", tmp_path / "nowhere")


def test_real_fashion_mnist(real_data):
    splits = images("fashion-mnist", real_data)
    assert [len(split) for split in splits] == [54_000, 6_000, 10_000]
    assert splits.test.targets.bincount().tolist() == [1000] * 10
    assert splits.train.inputs.std().item() == pytest.approx(1.0, abs=1e-3)


def test_hub_layout_from_a_local_folder(tmp_path, monkeypatch):
    """The loading code of the hub, on Parquet files in the hub's layout: images as encoded bytes, integer labels."""
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: pip install pandas")
    pillow = pytest.importorskip("PIL.Image", reason="pillow is not installed: pip install 'steepest[hub]'")
    datasets = pytest.importorskip("datasets", reason="datasets is not installed: pip install 'steepest[hub]'")
    rng = np.random.default_rng(0)
    pixels = {
        part: rng.integers(0, 256, (count, 28, 28), dtype=np.uint8) for part, count in (("train", 6), ("test", 3))
    }
    for part, arrays in pixels.items():
        encoded = []
        for array in arrays:
            buffer = io.BytesIO()
            pillow.fromarray(array).save(buffer, format="PNG")
            encoded.append({"bytes": buffer.getvalue(), "path": None})
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        table = pandas.DataFrame({"image": encoded, "label": range(len(arrays))})
        datasets.Dataset.from_pandas(table, features=features).to_parquet(tmp_path / f"{part}.parquet")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    train, test = load_hub_images(str(tmp_path))
    assert torch.equal(train.inputs, torch.from_numpy(pixels["train"]))
    assert torch.equal(test.inputs, torch.from_numpy(pixels["test"]))
    assert train.targets.tolist() == list(range(6))
    assert train.targets.dtype == torch.int64

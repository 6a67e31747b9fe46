"""The toy CNN example: data in the folder's layout, a model that is tracked, and a run of it."""

import io
from pathlib import Path

import pytest
import torch

from steepest.data import Split, Splits
from steepest.optim.tracked import records_of
from steepest.training.code.lookup import find_method, find_workload
from tests.training.runs import train

EXAMPLE = Path(__file__).parent.parent / "examples" / "toy_cnn.py"
PAIRS = [("cifar10_toy", "insgd"), ("cifar10_toy_released", "insgd_released")]


def splits():
    torch.manual_seed(0)
    return Splits(*[Split(torch.randn(256, 3, 32, 32), torch.randint(0, 10, (256,))) for _ in range(3)])


@pytest.mark.parametrize(("workload", "method"), PAIRS)
def test_the_harness_trains_a_tracked_model(workload, method):
    """The model function tracks, and the optimizer that is built later finds what its weights are fed."""
    problem = find_workload(f"{EXAMPLE}:{workload}")
    model = problem.model()
    covered = {name for name, p in model.named_parameters() if records_of(p)}
    assert covered == {f"{i}.weight" for i in (0, 2, 4, 6, 10)}
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 10)
    outcomes = [
        train(
            problem,
            find_method(f"{EXAMPLE}:{m}"),
            splits(),
            {"lr": 0.1},
            seed=0,
            epochs=1,
            batch_size=128,
            with_test=True,
        )
        for m in ("sgd", method)
    ]
    assert not any(outcome.diverged for outcome in outcomes)
    assert outcomes[0].curve["train_loss"] != outcomes[1].curve["train_loss"]


def test_a_mismatched_pair_says_what_to_call():
    problem, method = find_workload(f"{EXAMPLE}:cifar10_toy"), find_method(f"{EXAMPLE}:insgd_released")
    with pytest.raises(RuntimeError, match="standardize=True"):
        train(problem, method, splits(), {"lr": 0.1}, seed=0, epochs=1, batch_size=128, with_test=False)


def test_the_data_is_read_from_a_folder(tmp_path, monkeypatch):
    import datasets
    from PIL import Image

    def images(count):
        png = []
        for i in range(count):
            file = io.BytesIO()
            Image.new("RGB", (32, 32), (i, 0, 255)).save(file, "PNG")
            png.append({"bytes": file.getvalue(), "path": None})
        features = datasets.Features({"image": datasets.Image(), "label": datasets.Value("int64")})
        return datasets.Dataset.from_dict({"image": png, "label": [i % 10 for i in range(count)]}, features)

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "cifar10-small").mkdir()
    for part, count in (("train", 40), ("test", 20)):
        images(count).to_parquet(tmp_path / "cifar10-small" / f"{part}.parquet")
    problem = find_workload(f"{EXAMPLE}:cifar10_toy")
    data = problem.data(tmp_path)
    assert [tuple(split.inputs.shape) for split in data] == [(36, 3, 32, 32), (4, 3, 32, 32), (20, 3, 32, 32)]
    assert abs(data.train.inputs.mean()) < 1e-5
    with pytest.raises(FileNotFoundError, match="--data-dir"):
        problem.data(tmp_path / "cifar10-small")

"""The comparison on the real 60,000 images of Fashion-MNIST, as the README has it."""

import subprocess
import sys

import pytest

from steepest.compare.policy.finished import finished_records


@pytest.mark.slow
def test_fashion_cnn(real_data, tmp_path):
    out = tmp_path / "study"
    arguments = ["--methods", "sgd,sngm", "--trials", "4", "--seeds", "3", "--epochs", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "steepest", "compare", "fashion-cnn", "--data-dir", real_data, "--out", out, *arguments],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    study, records = finished_records(out)
    [spec] = study.comparisons
    assert spec.workload.train_samples + spec.workload.validation_samples == 60_000
    finals = [r for r in records if r.phase == "final"]
    assert len(records) == 14
    assert len(finals) == 6
    assert all(r.samples == 2 * 421 * 128 for r in finals)
    assert min(r.test_metric for r in finals) > 0.85

#!/usr/bin/env bash
# Test with the oldest direct dependencies that pyproject.toml admits.
#
#   tools/test_oldest.sh UV PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
uv=$(realpath -s "$1") python=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$uv" venv --quiet --python "$python" "$work/venv"
"$uv" pip install --quiet --python "$work/venv/bin/python" --resolution lowest-direct \
  -r pyproject.toml --extra compare pytest==8.0.0 hypothesis==6.100.0
export PYTHONPATH=$PWD/src OMP_NUM_THREADS=1
"$work/venv/bin/python" -c "import torch, numpy, optuna; print(torch.__version__, numpy.__version__, optuna.__version__)"
"$work/venv/bin/python" -m pytest -q -p no:cacheprovider -m "not slow" tests/optim tests/gradients tests/diagnostics
"$work/venv/bin/python" -m steepest compare digits-mlp --methods sgd,sngm,ssgd+lars,csgd,insgd,adam-ng \
  --trials 2 --seeds 2 --epochs 1 --out "$work/study"

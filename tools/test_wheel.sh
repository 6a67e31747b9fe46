#!/usr/bin/env bash
# Install the wheel in an empty environment and use it from an empty folder: alone on torch, then with the command.
#
#   tools/test_wheel.sh PYTHON_WITH_BUILD PYTHON_FOR_THE_ENVIRONMENT
set -euo pipefail
cd "$(dirname "$0")/.."
builder=$(realpath -s "$1") python=$2 root=$PWD
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

"$builder" -m build --outdir "$work/dist" . >/dev/null
wheel=$(echo "$work"/dist/*.whl)
"$python" -m venv "$work/venv"
install() { "$work/venv/bin/pip" install --quiet --disable-pip-version-check -c "$root/constraints.txt" "$@"; }
mkdir "$work/empty"
cd "$work/empty"
unset PYTHONPATH

install torch
install "$wheel"
"$work/venv/bin/python" - "$work" <<'PYTHON'
import sys, torch, steepest
assert steepest.__file__.startswith(sys.argv[1]), steepest.__file__
w = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
optimizer = steepest.SNGM([w], lr=1.0)
w.square().sum().backward()
optimizer.step()
assert torch.allclose(w, torch.tensor([2.4, 3.2])), w
assert "arXiv" in steepest.citation(optimizer)
PYTHON
if "$work/venv/bin/steepest" methods 2>said; then
  echo "without the extra the command must say what is missing" >&2
  exit 1
fi
grep -q "pip install 'steepest\[compare\]'" said

install "$wheel[compare]"
"$work/venv/bin/steepest" compare digits-mlp --methods sgd,sngm --trials 1 --seeds 2 --epochs 1 --out study >table
grep -q "^sngm" table
grep -q "<title>" study/report.html
test -s study/report.md
cp study/report.html before.html
"$work/venv/bin/steepest" report study >/dev/null
test -s study/report.html
echo "the wheel $(basename "$wheel") works: $(wc -c <before.html) bytes of report"

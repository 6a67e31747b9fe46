# Every target works on a fresh clone: the first one to run creates .venv with the tested versions.
PYTHON ?= python3
BIN := .venv/bin
# Where fashion-mnist/ lies, for `make bench` and `make test-slow`.
DATA ?= $(or $(STEEPEST_DATA),../shared/data)

.PHONY: setup test test-slow check layers compare bench docs clean
setup: .venv/.installed

# torch first and under the constraint: a bare `torch` may pull gigabytes of CUDA packages.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# Style, types and who may import whom.
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The rooms that the imports build, floor by floor; fails if they have no order.
layers: setup
	$(BIN)/python tools/layers.py

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow"

# What takes longer than a minute: the real data sets, whole studies.
test-slow: setup
	STEEPEST_DATA=$(DATA) OMP_NUM_THREADS=1 $(BIN)/pytest -m slow

# The comparison of the README: 7 methods on scikit-learn's digits, under a minute on 2 cores.
compare: setup
	$(BIN)/steepest compare digits-mlp --trials 16 --seeds 10

# Prints ratios, asserts nothing; run it on a quiet machine.
bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/harness.py --data-dir $(DATA)

# The documentation, into site/; a warning is an error. `make test` builds it too.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf .venv studies site

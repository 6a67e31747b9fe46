# Every target works on a fresh clone: the first one to run creates .venv with the tested versions.
PYTHON ?= python3
BIN := .venv/bin
# Where fashion-mnist/ lies, for `make bench` and `make test-slow`.
DATA ?= $(or $(STEEPEST_DATA),../shared/data)

# Where `make dist` leaves what it made: a new temporary folder, unless a release says otherwise.
DIST ?=

.PHONY: setup test test-slow test-cuda test-wheel test-oldest coverage check layers compare claims claims-all bench docs dist changelog clean formulas-model formulas-seams
setup: .venv/.installed

# torch first and under the constraint: a bare `torch` may pull gigabytes of CUDA packages. curvlinops, the oracle of the
# curvature's tests, without what it asks for: that has torchvision in it, and no wheel of it for every torch. trackio
# without its bound on pillow. pip would compile 25,000 files one after the other: they are compiled on all cores at
# the end, but for a few that are templates and no Python.
.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt torch
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[dev]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps -c constraints.txt curvlinops-for-pytorch
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt brotli gradio_client orjson python-multipart
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --no-deps -c constraints.txt trackio
	-$(BIN)/python -m compileall -qq -j 0 .venv/lib
	touch $@

# The tools of a release, which `make setup` does without.
.venv/.release-installed: .venv/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt -e '.[release]'
	touch $@

# Style, spelling, types, what is declared to be needed, and who may import whom.
check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry --no-ansi src
	$(BIN)/codespell

# The rooms that the imports build, floor by floor; fails if they have no order.
layers: setup
	$(BIN)/python tools/layers.py

test: check
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow" --durations 30

# What takes longer than a few seconds and is not needed at every turn: the real data sets, whole studies, commands that are
# killed and go on, pages in every state. Half an hour and more.
test-slow: setup
	STEEPEST_DATA=$(DATA) OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m slow --durations 30

# What only a GPU can show; without one nothing is collected, and pytest says so. PYTHON is one that has torch with CUDA.
test-cuda:
	PYTHONPATH=src OMP_NUM_THREADS=1 $(PYTHON) -m pytest tests/cuda

# The oldest releases that pyproject.toml admits, in a folder of their own: the optimizers' tests and a small study.
test-oldest: .venv/.release-installed
	tools/test_oldest.sh $(BIN)/uv $(PYTHON)

# What users get: the wheel, in an empty environment, far from this folder.
test-wheel: .venv/.release-installed
	tools/test_wheel.sh $(BIN)/python $(PYTHON)

# Which branches the suite takes, also in commands that it starts; a study's workers are killed, and tell nothing. Two tests
# are left out: a process that is measured is no warm one, and has files of its own to write on a full disk.
coverage: .venv/.release-installed
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal -m "not slow" --cov --cov-report=term --cov-report=html:htmlcov \
	  --deselect tests/test_warm.py::test_it_is_warm_only_where_that_makes_no_difference \
	  --deselect tests/compare/study/test_study.py::test_a_full_disk_loses_nothing_and_claims_nothing

# The comparison of the README: 7 methods on scikit-learn's digits, under a minute on 2 cores.
compare: setup
	$(BIN)/steepest compare digits-mlp --trials 16 --seeds 10

# The studies of docs/claims.md, one after the other, each in its folder; the same command resumes where it stopped. The
# first are those that fit into two hours of two cores together; DEVICE=cuda adds ResNet-20 on CIFAR-10.
CLAIMS := digits noise-and-calibration mutual-information permutations insgd-high-lr insgd-released-high-lr insgd-tuned \
  insgd-released-tuned momentum sngm-batch-sizes sngm-range large-batch logic-symbols-steps sigmoid-18
LONGER_CLAIMS := mutual-information-schedules logic-symbols sigmoid-depth block-norm-convolutional block-norm-recurrent \
  insgd-batchnorm insgd-batchnorm-high-lr insgd-starts insgd-vit symmetric-noise-linear symmetric-noise-cosine \
  symmetric-noise-step calibration \
  calibration-detector noise-scale forgetting-by-optimizer forgetting shakespeare-gpt
GPU_CLAIMS := resnet20 resnet20-large-batch
DEVICE ?= auto
CLAIMS_DIR ?= claims

define run-claims
	@for name in $(1) $(if $(filter cuda%,$(DEVICE)),$(GPU_CLAIMS)); do \
	  echo "studies/$$name.toml" && \
	  $(BIN)/steepest compare studies/$$name.toml --data-dir $(DATA) --device $(DEVICE) --out $(CLAIMS_DIR)/$$name || exit; \
	done
endef

claims: setup
	$(call run-claims,$(CLAIMS))

claims-all: setup
	$(call run-claims,$(CLAIMS) $(LONGER_CLAIMS))

# Prints ratios, asserts nothing; run it on a quiet machine.
bench: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/harness.py --data-dir $(DATA)

# The documentation, into site/; a warning is an error. The first build runs a study for the live report, about a minute.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Source archive and wheel, as they would be published, and looked at by what would look at them.
dist: .venv/.release-installed
	@out=$(or $(DIST),$$(mktemp -d)) && \
	$(BIN)/python -m build --outdir $$out . && \
	$(BIN)/twine check --strict $$out/* && \
	$(BIN)/check-wheel-contents $$out/*.whl && \
	ls -l $$out/*

# What the next release's section of CHANGELOG.md would be; nothing is written.
changelog: .venv/.release-installed
	$(BIN)/towncrier build --draft --version Unreleased

clean:
	rm -rf .venv studies site htmlcov .coverage .coverage.*

# The model that comes with the package, anew; its checksum stands in src/steepest/formulas/models/README.md.
formulas-model: setup
	OMP_NUM_THREADS=1 $(BIN)/python -m steepest.formulas.models.make --out src/steepest/formulas/models/default.safetensors

# The nets that join and cut pieces of ink on pages, anew: of the shipped model and symbols that are made.
formulas-seams: setup
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/formula_seams.py made --out src/steepest/formulas/reading/seams.json

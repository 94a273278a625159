# Everything a fresh machine needs is python3 and make.
#   make demo    its own .venv, generate resnet18, verify it
#   make test    the same .venv, then lint, types, import contracts, tests
#   make test-all    the same with the long tests, as CI runs it

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo lint test test-all test-torch-free test-oldest test-newest format fuzz reliability bench bench-full bench-setup clean \
	outside evidence evidence-quick evidence-full evidence-first-steps evidence-expansions evidence-full-width

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,evidence]'
	touch $(STAMP)

demo: setup
	$(BIN)/zeroinit generate resnet18 -o init.safetensors
	$(BIN)/zeroinit verify

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint
	$(BIN)/pytest

test-all: lint
	$(BIN)/pytest -m ""

# The rooms that need no torch, under another Python: make test-torch-free PYTHON=python3.13
TORCH_FREE := $(VENV)-torch-free
test-torch-free:
	$(PYTHON) -m venv $(TORCH_FREE)
	$(TORCH_FREE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		numpy typer rich pydantic PyYAML tomlkit filelock hypothesis pytest pytest-timeout pytest-xdist
	$(TORCH_FREE)/bin/python -m pytest tests/files tests/lock \
		tests/test_torch_free.py tests/spec/test_yaml.py tests/spec/test_canonical.py

# Everything under the oldest versions that pyproject.toml allows, or the newest that there are.
# Torch then comes with CUDA, in gigabytes: make test-newest PYTHON=python3.13
# What only development or one kind of source needs, and the linter that no old rich has, are left out.
OTHER_VERSIONS := --ignore tests/sources --ignore tests/evidence --ignore tests/benchmarks --ignore tests/outside \
	--ignore tests/golden/test_outside_models.py \
	--deselect tests/test_project.py::test_torch_outside_its_room_would_be_seen
test-oldest: OTHER := -c constraints-oldest.txt
test-oldest test-newest:
	$(PYTHON) -m venv $(VENV)-$@
	$(VENV)-$@/bin/python -m pip install --quiet --disable-pip-version-check $(OTHER) -e '.[test]'
	$(VENV)-$@/bin/python -m pytest -m "" $(OTHER_VERSIONS)

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Attacks on whatever reads a stranger's file; docs/reliability.md says what longer runs gave.
# Led by coverage where atheris installs: make fuzz EXECUTIONS=1000000 ENGINE=guided
EXECUTIONS ?= 20000
ENGINE ?= blind
fuzz: setup
ifeq ($(ENGINE),guided)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
endif
	for reader in header index lock spec; do \
		$(BIN)/python -m tests.fuzz $$reader --executions $(EXECUTIONS) --engine $(ENGINE) || exit 1; \
	done

# Changes of every kind to a checkpoint, in one file and in shards, to its lock and sums; 200 kills.
reliability: setup
	$(BIN)/python -m tests.reliability
	$(BIN)/python -m tests.reliability --faults 210

bench: bench-setup
	$(BIN)/python -m benchmarks.run

bench-full: bench-setup
	$(BIN)/python -m benchmarks.run --full

bench-setup: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[bench]'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt zero_init

# What ZerO does to training: minutes on two cores; an interrupted run goes on where it stopped.
evidence: setup
	$(BIN)/python -m evidence.run

evidence-quick: setup
	$(BIN)/python -m evidence.run --effort quick

# Three times the steps, and nets of 1000 layers.
evidence-full: setup
	$(BIN)/python -m evidence.run --effort full

# The first steps of all classification models: about an hour of one core; it goes on where it
# stopped. And what plan and probe say of some of them.
evidence-first-steps: setup
	$(BIN)/python -m evidence.first_steps
	$(BIN)/python -m evidence.commands

# Which matrix should expand: about an hour of one free core; it goes on where it stopped.
evidence-expansions: setup
	$(BIN)/python -m evidence.expansions

# Torchvision's models and others in their first 80 steps, each start at some rates: about ten hours of
# one core for everything; it goes on where it stopped. The table has what there is.
MINUTES ?= 600
evidence-full-width: setup
	$(BIN)/python -m evidence.full_width --minutes $(MINUTES)
	$(BIN)/python -m evidence.full_width --publish

# What plan and init_ make of models of other packages, at full size: an hour of one core; it goes on
# where it stopped. The table goes into tests/outside/table.md.
outside: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[outside]'
	$(BIN)/python -m tests.outside.measure --table tests/outside/table.md

clean:
	rm -rf $(VENV) init.safetensors init.safetensors.sha256 zeroinit.lock

# Everything a fresh machine needs is python3 and make.
#   make demo    its own .venv, generate resnet18, verify it
#   make test    the same .venv, then lint, types, import contracts, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: setup demo test test-torch-free format bench evidence evidence-expansions clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $(STAMP)

demo: setup
	$(BIN)/zeroinit generate resnet18 -o init.safetensors
	$(BIN)/zeroinit verify

test: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/pytest

# The rooms that need no torch, under another Python: make test-torch-free PYTHON=python3.13
TORCH_FREE := $(VENV)-torch-free
test-torch-free:
	$(PYTHON) -m venv $(TORCH_FREE)
	$(TORCH_FREE)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt \
		numpy typer rich pydantic PyYAML tomlkit filelock hypothesis pytest pytest-timeout pytest-xdist
	$(TORCH_FREE)/bin/python -m pytest tests/files tests/lock tests/test_lock.py \
		tests/test_torch_free.py tests/specs/test_tree.py tests/specs/test_show.py

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -c constraints.txt zero_init
	$(BIN)/python -m benchmarks.run

# Hours on two cores; it goes on where it stopped.
evidence: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[evidence]'
	$(BIN)/python -m evidence.first_steps

# About an hour and a half of one core; it goes on where it stopped.
evidence-expansions: setup
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[evidence]'
	$(BIN)/python -m evidence.expansions

clean:
	rm -rf $(VENV) init.safetensors init.safetensors.sha256 zeroinit.lock

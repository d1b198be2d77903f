# Everything happens in .venv, which the targets make when they need it. ARGS="..." passes options on, as in
#     make train ARGS="--epochs 3 --activation relu"        make test ARGS="-k datasets"
# PYTHON names the Python that .venv is made with.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help train test test-nojit test-cpus lint bench peers clean

help:
	@echo "make train       train on handwritten digits and draw the curve into loss.png"
	@echo "make test        run all tests"
	@echo "make test-nojit  run the kernels' Python code without the compiler, with coverage"
	@echo "make test-cpus   run the tests of kernels as compiled for lesser processors: AVX2, and no extension at all"
	@echo "make lint        check style and types"
	@echo "make bench       run every benchmark once, quickly"
	@echo "make peers       install PyTorch, JAX and scikit-learn, and compare the speed with theirs"
	@echo "make clean       remove .venv and all that the other targets made"

train: $(VENV)/.installed
	$(BIN)/fastfnn train --plot loss.png $(ARGS)

test: $(VENV)/.installed-dev
	$(BIN)/pytest $(ARGS)

# Large shapes and all that needs the compiler are left out. A subprocess that a test starts is not counted.
test-nojit: $(VENV)/.installed-dev
	NUMBA_DISABLE_JIT=1 $(BIN)/pytest -m "not jit" --cov --cov-report=term-missing:skip-covered $(ARGS)

# For x86-64. The name alone would leave the features of this machine on.
KERNEL_TESTS := $(addprefix tests/test_,affine.py activations.py losses.py products.py matvec.py network.py training.py)
HASWELL := NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+fma,+f16c,+popcnt,+sse4.1,+sse4.2,+ssse3

test-cpus: $(VENV)/.installed-dev
	$(HASWELL) $(BIN)/pytest $(KERNEL_TESTS) $(ARGS)
	NUMBA_CPU_NAME=generic $(BIN)/pytest $(KERNEL_TESTS) $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# asv ends with a status other than 0 if any benchmark fails, and make with it. It keeps a description of the machine
# in the home folder and would ask for one; --yes takes what it finds.
bench: $(VENV)/.installed-dev
	$(BIN)/asv machine --yes
	$(BIN)/asv run --quick --python=same --show-stderr $(ARGS)

# PyTorch for processors alone is much smaller than its default on Linux: install that first if it matters.
peers: $(VENV)/.installed-peers
	$(BIN)/fastfnn bench $(ARGS)

clean:
	rm -rf $(VENV) .asv .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info
	rm -f loss.png digits.png
	find . -name __pycache__ -prune -exec rm -rf {} +

# Stamps: a step is done again only if pyproject.toml is newer, so that a second `make train` starts at once.

$(VENV)/.created:
	@$(PYTHON) -c "" 2>/dev/null || { echo "fastfnn needs Python 3.11 or newer, and '$(PYTHON)' does not run: name one, as in" \
		"'make PYTHON=/path/to/python3'" >&2; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "fastfnn needs Python 3.11 or newer," \
		"and '$(PYTHON)' is $$($(PYTHON) --version 2>&1): name a newer one, as in 'make PYTHON=python3.13'" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.installed: $(VENV)/.created pyproject.toml
	@echo "installing fastfnn into $(VENV): needed once, takes a minute"
	$(PIP) --editable ".[plot]"
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.created pyproject.toml
	@echo "installing fastfnn and its tools into $(VENV): needed once, takes a minute or two"
	$(PIP) --editable ".[dev]"
	@touch $(VENV)/.installed $@

$(VENV)/.installed-peers: $(VENV)/.installed
	@echo "installing PyTorch, JAX and scikit-learn into $(VENV): needed once, takes a few minutes"
	$(PIP) --editable ".[plot,peers]"
	@touch $@

# Everything is installed into .venv, which the targets create when they need it. ARGS="..." passes options on, as in
#     make train ARGS="--epochs 3 --activation relu"        make test ARGS="-k datasets"
# PYTHON names the Python that creates .venv.

PYTHON ?= python3
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: help train notebooks test test-kernel test-nojit test-cpus test-haswell test-generic test-aarch64 test-peers \
	test-matrix lint types bench regress digest fuzz history dashboard picture docs peers neighbours release-check clean

help:
	@echo "make train       train on handwritten digits and plot the loss into loss.png"
	@echo "make notebooks   run the notebooks in examples/ and save their output"
	@echo "make test        run all tests"
	@echo "make test-kernel all checks of one kernel, in about a minute: make test-kernel KERNEL=softplus"
	@echo "make test-nojit  run the tests of kernels as plain Python, without the compiler, with coverage"
	@echo "make test-cpus   run the tests of kernels compiled for older processors: with AVX2, and without any extension"
	@echo "make test-aarch64 train on an emulated 64-bit ARM processor, which it installs"
	@echo "make test-peers  install PyTorch, Keras and JAX, and test the exchange of networks with them"
	@echo "make test-matrix test the wheel with each Python, and with the oldest and newest NumPy and Numba"
	@echo "make lint        check style and types"
	@echo "make types       check that the public API is completely typed, as its users' type checkers see it"
	@echo "make bench       run every benchmark once, quickly"
	@echo "make regress     compare the speed with another version's: make regress BASE=main"
	@echo "make digest      compare the results, bit by bit, with another version's: make digest BASE=main"
	@echo "make fuzz        compare random cases with the reference: make fuzz SECONDS=600 SEED=1"
	@echo "make history     measure the versions in benchmarks/versions.txt that have no results: needs an idle machine"
	@echo "make dashboard   build asv's pages, which show the recorded speed of each version"
	@echo "make picture     draw the README's chart of the recorded comparison with other libraries"
	@echo "make docs        build the documentation site, English and Japanese, into docs/_build/html"
	@echo "make peers       install PyTorch, JAX, ONNX Runtime and others, and compare the speed with theirs"
	@echo "make neighbours  time short calls while other processes want the same cores: needs an idle machine"
	@echo "make release-check is this commit ready to be released? builds sdist and wheel into dist/ if it is"
	@echo "make clean       remove .venv and everything that the other targets made"

train: $(VENV)/.installed
	$(BIN)/fastfnn train --plot loss.png $(ARGS)

notebooks: $(VENV)/.installed-dev
	$(BIN)/python examples/run_notebooks.py $(ARGS)

# Two processes, not one per core: kernels have threads of their own. A process that runs out of tests takes over the
# other's.
PYTEST := $(BIN)/pytest -n 2 --dist worksteal

test: $(VENV)/.installed-dev
	$(PYTEST) $(ARGS)

# What a change of one kernel can break: style, types, the lists of names, and the tests that concern it, with its
# benchmarks.
test-kernel: $(VENV)/.installed-dev
	@test -n "$(KERNEL)" || { echo "name a kernel, as in 'make test-kernel KERNEL=softplus'" >&2; exit 2; }
	@$(MAKE) --no-print-directory lint
	$(BIN)/pytest --quiet tests/tools/test_names.py
	$(PYTEST) --kernel $(KERNEL) tests/kernels tests/tools/test_benchmarks.py $(ARGS)

# Without large shapes, tests that need the compiler, those of estimators, sources and tables, and those that run no
# kernels. Coverage does not include the subprocesses that tests start.
NO_KERNELS := $(addprefix --ignore=tests/,cli interop sklearn sources tables tools) $(addprefix --ignore=tests/api/test_,\
	atomic.py bench_neighbours.py cli_stops.py hostile_files.py)

test-nojit: $(VENV)/.installed-dev
	NUMBA_DISABLE_JIT=1 $(PYTEST) -m "not jit" $(NO_KERNELS) --cov --cov-report=term-missing:skip-covered $(ARGS)

# For x86-64. Features are named because NUMBA_CPU_NAME alone keeps those of this machine.
KERNEL_TESTS := $(addprefix tests/kernels/,elementwise products network training)
HASWELL := NUMBA_CPU_NAME=haswell NUMBA_CPU_FEATURES=+avx,+avx2,+bmi,+bmi2,+fma,+f16c,+popcnt,+sse4.1,+sse4.2,+ssse3

test-cpus: test-haswell test-generic

test-haswell: $(VENV)/.installed-dev
	$(HASWELL) $(PYTEST) $(KERNEL_TESTS) $(ARGS)

test-generic: $(VENV)/.installed-dev
	NUMBA_CPU_NAME=generic $(PYTEST) $(KERNEL_TESTS) $(ARGS)

# Tests on that processor: make test-aarch64 ARGS="-m pytest tests/kernels/workers"
test-aarch64: $(VENV)/.installed-dev
	$(BIN)/python tools/aarch64.py $(ARGS)

# The tests that `make test` skips, since PyTorch and Keras are too large for each machine that tests.
test-peers: $(VENV)/.installed-dev $(VENV)/.installed-peers
	$(PYTEST) tests/interop tests/sources tests/tools/test_pages.py $(ARGS)

# Interpreters that are neither on PATH nor pyenv's: ARGS="--python /path/to/python3.14 /path/to/python3.15"
test-matrix: $(VENV)/.installed-dev
	$(BIN)/python tools/matrix.py $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

# pyright judges a package as others install it: here a copy. Types that other packages leave incomplete, as NumPy does,
# do not count. No network is needed: pip has installed Node, too.
TYPES := build/types

types: $(VENV)/.installed-dev
	rm -rf $(TYPES) && mkdir -p $(TYPES)
	cp -R fastfnn $(TYPES) && rm -rf $(TYPES)/fastfnn/kernels && cp -R kernels $(TYPES)/fastfnn
	@cd build && PATH=$(abspath $(BIN)):$$PATH PYTHONPATH=$(abspath $(TYPES)) PYRIGHT_PYTHON_IGNORE_WARNINGS=1 \
		pyright --verifytypes fastfnn --ignoreexternal >types.txt || { sed -n '/^Symbols used/,$$p' types.txt; exit 1; }
	@grep completeness build/types.txt

# asv's exit status does not say whether anything ran: this program reads its result files, and leaves none behind.
bench: $(VENV)/.installed-dev
	$(BIN)/python tools/check.py $(ARGS)

# make reports every failure as 2. The exit status of tools/regress.py itself is 1 if something became slower, or 2.
regress: $(VENV)/.installed-dev
	@test -n "$(BASE)" || { echo "name the version to compare with, as in 'make regress BASE=main'" >&2; exit 2; }
	$(BIN)/python tools/regress.py $(BASE) $(ARGS)

digest: $(VENV)/.installed-dev
	@test -n "$(BASE)" || { echo "name the version to compare with, as in 'make digest BASE=main'" >&2; exit 2; }
	$(BIN)/python tools/digest.py $(BASE) $(ARGS)

SECONDS ?= 60
SEED ?= 1

fuzz: $(VENV)/.installed-dev
	$(BIN)/python tools/fuzz.py --seconds $(SECONDS) --seed $(SEED) $(ARGS)

history: $(VENV)/.installed-dev
	$(BIN)/asv machine --yes
	sed -e '/^#/d' -e 's/ .*//' benchmarks/versions.txt \
		| $(BIN)/asv run --skip-existing-commits --show-stderr $(ARGS) HASHFILE:-

dashboard: $(VENV)/.installed-dev
	$(BIN)/asv publish --no-pull $(ARGS)
	@echo "'$(BIN)/asv preview --browser' shows the pages; they load their JavaScript from the network"

picture: $(VENV)/.installed-dev
	$(BIN)/python tools/site_figures.py benchmarks/pictures/peers.png $(ARGS)

docs: $(VENV)/.installed-dev
	$(BIN)/python tools/docs.py

# The CPU-only build of PyTorch is much smaller than the default on Linux: install it first if space matters.
peers: $(VENV)/.installed-peers
	$(BIN)/fastfnn bench $(ARGS)

# make reports every failure as 2. The exit status of the command itself is 1 if a call takes more than is promised.
neighbours: $(VENV)/.installed
	$(BIN)/fastfnn bench --neighbours --peers "" $(ARGS)

release-check: $(VENV)/.installed-release
	$(BIN)/python tools/release.py $(ARGS)

clean:
	rm -rf $(VENV) .asv .coverage htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist docs/_build *.egg-info
	rm -f loss.png digits.png
	find . -name __pycache__ -prune -exec rm -rf {} +

# Stamp files: a step is repeated only if pyproject.toml has changed, so that a second `make train` starts at once.

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

$(VENV)/.installed-release: $(VENV)/.installed-dev
	$(PIP) --editable ".[release]"
	@touch $@

$(VENV)/.installed-peers: $(VENV)/.installed
	@echo "installing PyTorch, JAX, Keras, scikit-learn and ONNX Runtime into $(VENV): needed once, takes a few minutes"
	$(PIP) --editable ".[plot,peers]"
	@touch $@

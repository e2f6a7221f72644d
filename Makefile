# The commands of the project. Each makes the virtual environment and installs what it needs by itself.
#
#   make demo                       make test PYTHON=python3.12                 make check VENV=/tmp/env

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: help demo serve test scale serving quantize assault check lint types advisories format clean

help: ## list the commands
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# Without the policy threads wait in a loop: on a computer that is busy otherwise a second becomes a minute.
demo: $(VENV)/.installed ## make a video from a prompt with the model that ships with the project
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python generate.py --task t2v-demo --prompt "a red circle moving right on a blue background"
	@echo "Your video: $$(ls -t outputs/t2v-demo_*/video.mp4 | head -n 1)"

serve: $(VENV)/.installed-serve ## start a page and an API for videos on this machine, with the demo model
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m wan serve

# A process for every core, whole files to each: what the tests of one file share is made once. tests/conftest.py has the
# order of the files, slow ones first. Hash seeds are alike, so that all processes find the same tests.
test: $(VENV)/.installed-dev ## run the tests
	OMP_WAIT_POLICY=PASSIVE PYTHONHASHSEED=0 $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

scale: $(VENV)/.installed-scale ## install Ray, for wan batch --engine ray and its tests

serving: $(VENV)/.installed-serve ## install what wan serve and its tests need, and start nothing

quantize: $(VENV)/.installed-quantize ## install gguf and torchao, for --quantize and its tests

# Kills, full disks, broken files, hostile results, the network, leaks. PARTS="--only kills --only disk" runs some.
assault: $(VENV)/.installed-dev ## try to break it: kills, full disks, broken and hostile files (under 20 minutes)
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m tests.assault $(PARTS)

check: lint types advisories test ## formatting, lint, types, known advisories of the dependencies, and tests

lint: $(VENV)/.installed-dev ## formatting and lint, without changing a file
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: $(VENV)/.installed-dev ## types
	$(BIN)/mypy

advisories: $(VENV)/.installed-dev ## known advisories of the pinned dependencies, or the pins' dates without an index
	$(BIN)/python tools/check_dependencies.py

format: $(VENV)/.installed-dev ## format, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove caches and build folders (keeps the environment and what was generated)
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	find wan tools tests examples -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps make a second run instant; they are older than the pins when the pins have changed.
$(VENV)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -r requirements.txt
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	$(PIP) install -r requirements-dev.txt
	@touch $@

$(VENV)/.installed-scale: requirements-scale.txt $(VENV)/.installed
	$(PIP) install -r requirements-scale.txt
	@touch $@

$(VENV)/.installed-serve: requirements-serve.txt $(VENV)/.installed
	$(PIP) install -r requirements-serve.txt
	@touch $@

$(VENV)/.installed-quantize: requirements-quantize.txt $(VENV)/.installed
	$(PIP) install -r requirements-quantize.txt
	@touch $@

# Every developer command. `make demo` and `make test` do all their own set-up.
PYTHON ?= python3
BIN := .venv/bin
SAMEMIND := $(BIN)/samemind
RUNTIME := .venv/.runtime
DEV := .venv/.dev
# Two processes of one thread do more than one of two on networks this small.
export OMP_NUM_THREADS ?= 1
# Compiling all that PyTorch brings may wait a minute for a busy disk; that is no failure.
export UV_COMPILE_BYTECODE_TIMEOUT ?= 900

.PHONY: help setup demo test test-all explore test-browser torture overload mutants bench-scale check check-statistics bench bench-starting bench-doors bench-measures bench-training bench-inversion bench-fidelity finding docs tables clean

help:
	@echo "make demo    run a complete study on real images and name the report (installs first)"
	@echo "make test    the fast tests (installs first); make test-all: every test this machine can run"
	@echo "make explore tests of properties with examples that no run has seen"
	@echo "make test-browser  the page in a real headless Chromium"
	@echo "make torture kill a study 130 times, fill its disk, damage its store, give it company"
	@echo "make overload  what a busy machine does, at full size: an hour on two cores"
	@echo "make mutants   small wrong changes of important functions: which does no test notice?"
	@echo "make check   format, lint, types, import contracts"
	@echo "make check-statistics  errors, intervals and floors by simulation, into docs/coverage.md"
	@echo "make bench   every claim of speed, as a ratio measured in one run"
	@echo "make finding train and compare the networks of docs/finding.md: hours, in pieces that go on"
	@echo "make docs    the documentation site"
	@echo "make setup   the development environment in .venv"

setup: $(DEV)

$(BIN)/uv:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# --compile-bytecode: without it, where PYTHONDONTWRITEBYTECODE is set, every start compiles torch.
$(RUNTIME): requirements/runtime.txt pyproject.toml | $(BIN)/uv
	@echo "Installing what samemind needs (PyTorch is large: a few minutes on a slow line) ..."
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/runtime.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@

$(DEV): requirements/dev.txt $(RUNTIME)
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --compile-bytecode --require-hashes -r requirements/dev.txt
	VIRTUAL_ENV=.venv $(BIN)/uv pip install --quiet --no-deps -e .
	@touch $@

demo: $(RUNTIME)
	$(SAMEMIND) run digits

test: $(DEV)
	$(BIN)/pytest -n auto --dist loadfile

test-all: $(DEV)
	$(BIN)/pytest -m ""

explore: $(DEV)
	SAMEMIND_EXPLORE=1 $(BIN)/pytest -m "" tests/test_measure_degenerate.py tests/test_measure_robustness.py \
	  tests/test_measure_parity_predictions.py tests/test_gate.py tests/test_gating_statistics.py

test-browser: $(DEV)
	$(BIN)/pytest -m browser

bench-scale: $(DEV)
	$(BIN)/python benchmarks/scale.py --ray
	$(BIN)/python benchmarks/simulate_imagenet.py

torture: $(DEV)
	$(BIN)/python tests/torture.py --kills 100
	$(BIN)/python tests/torture.py --kills 30 --signal TERM
	$(BIN)/pytest tests/test_faults.py -m "not cluster" -k "not a_hundred and not thirty"

overload: $(DEV)
	SAMEMIND_LOAD=full $(BIN)/pytest -m slow tests/test_under_load.py

# A second of CPU time for each mutant, and the tests of each subject once.
mutants: $(DEV)
	$(BIN)/python tests/mutants.py --each $(or $(EACH),50)

check: $(DEV)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/pyright

FINDING_STORE ?= runs/finding
finding: $(RUNTIME)
	$(BIN)/python finding/train.py --store $(FINDING_STORE)
	for arm in finding/*.toml; do $(SAMEMIND) run $$arm --store $(FINDING_STORE) || exit; done

# Goes on where it was stopped; as many minutes as there are: MINUTES=20.
check-statistics: $(DEV)
	$(BIN)/python benchmarks/coverage.py --minutes $(or $(MINUTES),60)

bench: bench-starting bench-doors bench-measures bench-training bench-inversion

bench-starting: $(DEV)
	$(BIN)/python benchmarks/starting.py

bench-doors: $(DEV)
	$(BIN)/python benchmarks/doors.py

# CPU seconds of one thread; the public way takes minutes on the paper's sizes.
bench-measures: $(DEV)
	$(BIN)/python benchmarks/measures.py

bench-training: $(DEV)
	$(BIN)/python benchmarks/training.py

# Twenty minutes of one thread: 110 faults and 100 conversions.
bench-fidelity: $(DEV)
	$(BIN)/python -W ignore benchmarks/fidelity.py

bench-inversion: $(DEV)
	$(BIN)/python benchmarks/inversion.py

docs: $(DEV)
	$(BIN)/sphinx-build -W --keep-going -q -b html docs docs/_build/html
	@echo "The site is in docs/_build/html/index.html"

# The tables of docs/ that are made from declarations; a test holds that they are current.
tables: $(DEV)
	$(BIN)/python docs/_extension/tables.py

clean:
	rm -rf .venv runs dist build docs/_build docs/_pictures docs/api

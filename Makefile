# make demo: the main job.  make test: the tests.  make check: style, types, imports, the wheel.
# Each does all of its own set-up in a local virtual environment.
PYTHON ?= python3
VENV ?= .venv
LOWEST ?= .venv-lowest
BIN = $(VENV)/bin

.PHONY: demo test test-lowest reliability check docs linkcheck browser-test clean

demo: $(VENV)/demo.stamp
	$(BIN)/diffclf test --config digits

test: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 4

# The tests with the lowest versions that pyproject.toml allows, on the lowest Python.
test-lowest: $(LOWEST)/test.stamp
	OMP_NUM_THREADS=1 $(LOWEST)/bin/python -m pytest -n auto --maxprocesses 4

# Every fault that docs/reliability.md promises to withstand, in about 15 minutes on two cores.
reliability: $(VENV)/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python tests/reliability/whole.py $(ARGS)

check: $(VENV)/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	rm -rf dist
	$(BIN)/python -m build --outdir dist
	$(BIN)/python tests/check_wheel.py dist

# The site of the documentation, and every command and example of its pages and of the README, run.
docs: $(VENV)/docs.stamp
	OMP_NUM_THREADS=1 $(BIN)/python docs/check_pages.py
	OMP_NUM_THREADS=1 $(BIN)/sphinx-build -W --keep-going -n -q docs docs/_build/html
	@echo "The site: docs/_build/html/index.html"

# Asks for links to other sites, which needs the network.
linkcheck: $(VENV)/docs.stamp
	$(BIN)/sphinx-build -D nb_execution_mode=off -b linkcheck docs docs/_build/linkcheck

# Opens reports in a real browser (apt install chromium), and leaves pictures of them.
browser-test: $(VENV)/test.stamp
	$(BIN)/python -m pip install --quiet 'playwright>=1.49'
	$(BIN)/python tests/check_report.py runs/browser-test

$(VENV)/python.stamp:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11, 4) and "Expected Python 3.11.4 or newer, but $(PYTHON) is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/demo.stamp: $(VENV)/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[demo]'
	touch $@

$(VENV)/test.stamp: $(VENV)/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@ $(VENV)/demo.stamp

$(VENV)/docs.stamp: $(VENV)/test.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[dev,docs]'
	touch $@

$(LOWEST)/test.stamp: $(VENV)/python.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet 'uv>=0.8'
	$(BIN)/uv venv --quiet --clear --python 3.11 $(LOWEST)
	$(BIN)/uv pip install --quiet --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) $(LOWEST) dist build docs/_build .mypy_cache .ruff_cache .import_linter_cache

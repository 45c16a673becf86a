# Every target builds .venv first, from constraints.txt, when there is none or when what it was built from has changed.

PYTHON3 ?= python3
WORKERS ?= 2

PYTHON := .venv/bin/python
INSTALL := $(PYTHON) -m pip install --disable-pip-version-check --constraint constraints.txt

# The products are small matrices and two test processes: more threads would only wait for each other.
test: export OMP_NUM_THREADS = 1

.DEFAULT_GOAL := help
.PHONY: help venv demo test lint format bench build clean

help:  ## this list
	@sed -n 's/^\([a-z]*\):[^#]*## */\1\t/p' Makefile | expand -t 10

venv: .venv/complete  ## the virtual environment, with every extra

demo: .venv/complete  ## the whole paper on synthetic chests, from nothing to an evaluated model, in build/demo
	$(PYTHON) -m med3d_r1.cli demo --out build/demo

test: lint  ## ruff and all tests that are not slow; no network. WORKERS=n processes
	$(PYTHON) -m pytest -n $(WORKERS)

lint: .venv/complete  ## ruff check and ruff format, changing nothing
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: .venv/complete  ## lets ruff mend and format the code
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

bench: .venv/complete  ## every script of benchmarks/: a table and a JSON line each; with all the cores
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(PYTHON) "$$script"; done

build: .venv/complete  ## wheel and sdist in dist/
	$(PYTHON) -m build

clean:  ## removes what the other targets made, .venv too
	rm -rf .venv .venv-incomplete build dist *.egg-info .pytest_cache .ruff_cache .hypothesis

# While .venv-incomplete exists, nothing in .venv is trusted: an installation that was cut off starts again from nothing.
# torch has its own step: pip then takes this version from where pip is told to look (PIP_EXTRA_INDEX_URL for the
# CPU build), and not the newest one with gigabytes of CUDA packages.
.venv/complete: pyproject.toml constraints.txt
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON3=...")'
	if [ -e .venv-incomplete ] || [ ! -e .venv ]; then touch .venv-incomplete; $(PYTHON3) -m venv --clear .venv; fi
	touch .venv-incomplete; rm -f $@
	$(INSTALL) "$$(grep '^torch==' constraints.txt)"
	$(INSTALL) --editable ".[train,quant,dev]"
	rm .venv-incomplete
	touch $@

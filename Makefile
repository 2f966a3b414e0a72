# `make` lists the targets. A bare Debian needs `apt-get install python3-venv make`, nothing else.
PY ?= python3
VENV ?= .venv
PYTHON := $(VENV)/bin/python
LOCK := requirements.lock
PACKAGE := .[lab,test]

# The root folder is the project, so that links from a notebook to docs/ and mmlib/ open.
# JupyterLab refuses to run as root, the usual user of a container, unless told otherwise.
LAB_OPTIONS = --ServerApp.root_dir='$(CURDIR)' $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test test-all test-lowest fuzz bench refresh lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 13

setup: $(VENV)/.ok  ## make .venv and install everything into it

# uv installs in seconds what takes pip half a minute; where uv cannot be had or fails, pip does.
# The last two commands keep two surprises from a first run: JupyterLab's question about news (it
# would ask the network) and matplotlib's warning, within a notebook, that it looks for fonts.
$(VENV)/.ok: pyproject.toml $(LOCK)
	@$(PY) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("mmlib needs Python 3.11 \
	or newer; this is %d.%d. Name another with: make PY=python3.12" % sys.version_info[:2])'
	$(PY) -m venv $(VENV)
	$(PYTHON) -m pip install -q --disable-pip-version-check uv && \
	  $(PYTHON) -m uv pip install -q --python $(PYTHON) -r $(LOCK) -e '$(PACKAGE)' || \
	  { echo "uv did not work; pip goes on (about a minute)"; \
	    $(PYTHON) -m pip install -q --disable-pip-version-check -r $(LOCK) -e '$(PACKAGE)'; }
	$(PYTHON) -m jupyter labextension disable --level=sys_prefix \
	  @jupyterlab/apputils-extension:announcements 2>/dev/null
	$(PYTHON) -c 'import matplotlib.font_manager'
	@touch $@

lab: setup  ## open the course in JupyterLab
	$(PYTHON) -m jupyterlab $(LAB_OPTIONS) notebooks/00_start_here.ipynb

test: setup  ## unit tests, doctests, notebooks (strict nbval), browser
	$(PYTHON) -m pytest

test-all: setup  ## test, the slow tests too, then the oldest versions that pyproject.toml allows
	$(PYTHON) -m pytest -m "" --hypothesis-profile=long
	$(MAKE) --no-print-directory test-lowest

# The notebooks' stored outputs were made with the locked versions; they must hold for these too.
test-lowest: setup
	$(PY) -m venv --clear $(VENV)-lowest
	$(PYTHON) -m uv pip install -q --python $(VENV)-lowest/bin/python \
	  --resolution lowest-direct -e '$(PACKAGE)'
	$(VENV)-lowest/bin/python -m pytest

MINUTES ?= 10
fuzz: setup  ## random calls, answered by the simulator and by this kernel (MINUTES=10)
	$(PYTHON) tests/fuzz.py --minutes $(MINUTES) --seed $$(date +%s)

bench: setup  ## ratios to yardsticks; the result goes to docs/benchmarks.md
	$(PYTHON) tests/bench.py --write

refresh: setup  ## run the notebooks anew and store their outputs and minutes
	$(PYTHON) tests/refresh_notebooks.py

lock: setup  ## write requirements.lock from pyproject.toml
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --extra lab --extra test \
	  --upgrade --custom-compile-command "make lock" \
	  pyproject.toml -o $(LOCK)

clean:  ## remove what runs leave behind; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .hypothesis $(VENV)-lowest
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	  -prune -exec rm -rf {} +

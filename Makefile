# `make` lists the targets. A bare Debian needs `apt-get install python3-venv make`, nothing else.
PY ?= python3
VENV ?= .venv
PYTHON := $(VENV)/bin/python
LOCK := requirements.lock
PACKAGE := .[lab,test]

# The root folder is the project, so that links from a notebook to docs/ and mmlib/ open.
# Where no browser can be opened, the address that is printed leads to the first notebook, too.
# JupyterLab refuses to run as root, the usual user of a container, unless told otherwise.
LAB_OPTIONS = --ServerApp.root_dir='$(CURDIR)' \
  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb \
  $(if $(filter 0,$(shell id -u)),--allow-root)

.PHONY: help setup lab test test-all test-lowest test-newest test-binder test-renderers \
  fuzz bench refresh book student slides lite test-lite hub lock clean

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*##/\1\t/p' Makefile | expand -t 16

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

test-all: setup  ## test, the slow tests too, then everything under other versions and renderers
	$(PYTHON) -m pytest -m "" --hypothesis-profile=long
	$(MAKE) --no-print-directory test-lowest test-newest test-binder test-renderers test-lite

# The notebooks' stored outputs were made with the locked versions; they must hold for others too.
test-lowest: setup  ## under the oldest versions that pyproject.toml allows
	$(call venv,lowest,--resolution lowest-direct -e '$(PACKAGE)')
	$(VENV)-lowest/bin/python -m pytest

test-newest: setup  ## under the newest versions of everything: PY=python3.13 make test-newest
	$(call venv,newest,--upgrade -e '$(PACKAGE)')
	$(VENV)-newest/bin/python -m pytest

# What its base image holds depends on its Python: environment.yml pins it, PY= chooses it here.
test-binder: setup  ## with the versions of Binder's base image; what repo2docker would build
	$(call venv,binder,jupyter-repo2docker py-rattler 'setuptools<81')
	$(VENV)-binder/bin/python tests/binder_base.py > $(VENV)-binder/base.txt
	$(PYTHON) -m uv pip install -q --python $(VENV)-binder/bin/python \
	  -r $(VENV)-binder/base.txt -e '$(PACKAGE)'
	$(VENV)-binder/bin/python -m pytest tests/test_binder.py tests/test_packaging.py \
	  tests/test_browser.py notebooks

# Tests that draw, and the notebooks: with each Graphviz that is here, and with none.
DRAWING = tests/test_dot.py tests/test_graph.py tests/test_stepper.py tests/test_doctor.py notebooks
test-renderers: setup  ## with Debian's dot, with graphviz-pure, with no Graphviz at all
	@dot=$$(command -v dot) && MMLIB_DOT=$$dot $(PYTHON) -m pytest $(DRAWING) || \
	  { [ -z "$$dot" ] && echo "no dot here: not tested with it"; }
	MMLIB_DOT=$$($(PYTHON) -c 'import importlib.metadata as m; print(next(f.locate() for f in \
	  m.files("graphviz-pure") if f.stem == "graphviz-pure"))') $(PYTHON) -m pytest $(DRAWING)
	$(call venv,bare,-e '$(PACKAGE)')
	$(PYTHON) -m uv pip uninstall -q --python $(VENV)-bare/bin/python graphviz-pure
	PATH=$(VENV)-bare/bin $(VENV)-bare/bin/python -m pytest $(DRAWING)

lite: setup  ## the course as a site that needs no server, in build/lite (needs npm)
	$(call venv,lite,'jupyterlite-core==0.8.*' 'jupyterlite-pyodide-kernel==0.8.6' \
	  jupyter-server pip 'setuptools>=77' nbformat -e '$(PACKAGE)')
	$(VENV)-lite/bin/python tests/lite.py

test-lite: lite  ## what that site shows, in Chromium
	$(PYTHON) -m pytest -m slow tests/test_lite.py

# JupyterHub is not installed into .venv: it brings a database and more.
PORT ?= 8920
LEARNERS ?= 30
hub: setup  ## a class of 30 on JupyterHub, as docs/jupyterhub.md sets it up (as root, needs npm)
	$(call venv,hub,'jupyterhub<7' '.[lab]' playwright pytest hypothesis)
	$(VENV)-hub/bin/python -m compileall -q $(VENV)-hub/lib || true
	npm install --silent --prefix $(VENV)-hub/node configurable-http-proxy
	PYTHONPATH=tests $(VENV)-hub/bin/python tests/hub.py --venv $(VENV)-hub --port $(PORT) --learners $(LEARNERS) \
	  --node $(VENV)-hub/node/node_modules/.bin --screenshot build/hub.png

# $(call venv,NAME,WHAT): a fresh environment .venv-NAME with WHAT in it.
define venv
$(PY) -m venv --clear $(VENV)-$(1)
$(PYTHON) -m uv pip install -q --python $(VENV)-$(1)/bin/python $(2)
endef

MINUTES ?= 10
fuzz: setup  ## random calls, answered by the simulator and by this kernel (MINUTES=10)
	$(PYTHON) tests/fuzz.py --minutes $(MINUTES) --seed $$(date +%s)

bench: setup  ## ratios to yardsticks; the result goes to docs/benchmarks.md
	$(PYTHON) tests/bench.py --write

refresh: setup  ## run the notebooks anew and store their outputs; minutes, in TEACHING.md too
	$(PYTHON) tests/refresh_notebooks.py

book: setup  ## run copies of the notebooks, and write the course as a static site: build/book
	$(PYTHON) tests/build_book.py

student: setup  ## copies of the notebooks without solutions, in build/student
	$(PYTHON) tests/make_student.py

slides: setup  ## a page of slides for each notebook, in build/slides
	$(PYTHON) tests/make_slides.py

lock: setup  ## write requirements.lock from pyproject.toml
	$(PYTHON) -m uv pip compile -q --universal --python-version 3.11 --extra lab --extra test \
	  --upgrade --custom-compile-command "make lock" \
	  pyproject.toml -o $(LOCK)

clean:  ## remove what runs leave behind; .venv stays
	rm -rf build dist *.egg-info .pytest_cache .hypothesis $(VENV)-*
	find . -path ./$(VENV) -prune -o \( -name __pycache__ -o -name .ipynb_checkpoints \) \
	  -prune -exec rm -rf {} +

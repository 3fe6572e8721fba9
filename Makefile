# The commands of this project.
#
#   make setup        install everything into a virtual environment
#   make docs         set up if needed, then build docs/_build/html
#   make quickstart   set up if needed, then run the main job on digits
#   make test         set up if needed, then run the whole test-suite
#   make test-fast    the same without the tests marked slow, at every save
#   make lint         set up if needed, then check style, format and types
#
#   STACK=openmmlab   OpenMMLab's own last releases, in .venv-openmmlab
#                     (the default, STACK=onedl, lives in .venv)
#   MMKD_WHEELS=DIR   take mmcv from a prebuilt wheel below DIR (or at a URL)
#   PYTHON=python3.X  the interpreter to build the environment from (the
#                     default: one that mmcv has a wheel for, else python3)
#   ARGS='...'        passed on to the script, to pytest

STACK ?= onedl
ARGS ?=
VENV := $(if $(filter onedl,$(STACK)),.venv,.venv-$(STACK))

SUITED := import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 13))
# A PYTHON that was asked for is kept.
KEEP := $(if $(PYTHON),--keep-python)
PYTHON ?= $(shell for p in python3 python3.12 python3.11 python3.10; do \
	$$p -c '$(SUITED)' 2>/dev/null && echo $$p && exit; done; echo python3)

.PHONY: help setup quickstart test test-fast lint docs

help:
	@sed -n 's/^# \{0,1\}//p' Makefile

setup:
	@$(PYTHON) tools/install/setup_env.py --stack $(STACK) --venv $(VENV) $(KEEP)

quickstart: setup
	$(VENV)/bin/python tools/quickstart/quickstart.py $(ARGS)

test-fast: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal -m 'not slow' $(ARGS)

test: setup
	OMP_NUM_THREADS=1 $(VENV)/bin/python -m pytest -n 2 --dist worksteal $(ARGS)

docs: setup
	$(VENV)/bin/python -m pip install --quiet -r requirements/docs.txt
	$(VENV)/bin/python -m sphinx -qW --keep-going -c docs $(ARGS) . docs/_build/html

lint: setup
	$(VENV)/bin/python -m ruff check .
	$(VENV)/bin/python -m ruff format --check .
	$(VENV)/bin/python -m mypy

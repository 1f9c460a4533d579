# make demo    opens napari with a sample slide and its IDC heat map (a screenshot without a display)
# make test    the test suite, but for walks through real windows
# make test-desk  those: napari worked by its menus, dialogs and keys (.ci/run runs both)
# make test-learning  what networks learn, as on other processors
# make lint    ruff, mypy, import-linter, npe2
# make docs    the site of the documentation, in site/
# make release wheel and sdist in dist/, tried in an environment of their own
# make bench   speed, as ratios in one run
# make fuzz    every reader on real files that were changed at random, 10 minutes
# make env     only the environment: .venv/bin/pathogan
.PHONY: demo test test-desk test-learning lint docs release bench fuzz env display
SHELL := bash
PYTHON := .venv/bin/python

# On Linux without a display, windows open in a virtual one.
ifeq ($(shell uname)$(DISPLAY)$(WAYLAND_DISPLAY),Linux)
WINDOW := xvfb-run -a -s "-screen 0 1920x1200x24"
SHOT := --screenshot demo/demo.png
endif

env: .venv/.ready
.venv/.ready: pyproject.toml tools/setup
	tools/setup env

display:
	@tools/setup display

demo: env display
	$(WINDOW) $(PYTHON) -m napari_pathogan.plugin.demo $(SHOT)

# In three processes, each with a display of its own (pytest-xvfb), also on two cores: tests of windows
# often wait. WORKERS= runs it in one. Compiled modules are kept: tests start some sixty Pythons, and
# compiling torch takes each of them longer than the test.
WORKERS := 3
TEST = env -u PYTHONDONTWRITEBYTECODE $(PYTHON) -m pytest $(if $(WORKERS),-n $(WORKERS) --dist loadfile --no-loadscope-reorder)
test: env display
	$(TEST) --ignore tests/desk $(ARGS)

test-desk: env display
	$(TEST) tests/desk $(ARGS)

# `make test` has one thread and all instructions of the processor; here are those of AVX2 alone, in
# which there is no bfloat16, and two threads, which sleep while they wait.
LEARNING := -u PYTHONDONTWRITEBYTECODE OMP_WAIT_POLICY=passive
LEARN := $(PYTHON) -m pytest -m learning --timeout 900 -n 2 --dist loadfile
test-learning: env display
	env $(LEARNING) ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(LEARN) $(ARGS)
	env $(LEARNING) ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=2 $(LEARN) $(ARGS)
	env $(LEARNING) OMP_NUM_THREADS=2 $(LEARN) $(ARGS)

# Damaged files: a crash, a hang, much memory or an error without words is kept in fuzz/. SEED= changes others.
fuzz: env
	$(PYTHON) benchmarks/fuzz.py --minutes $(or $(MINUTES),10) --seed $(or $(SEED),0)

# Of benchmarks: that what they name and call is there; not whether all of it fits in every case.
NAMES_ALONE = arg-type assignment has-type index misc operator return-value type-arg
lint: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	MYPYPATH=src:benchmarks .venv/bin/mypy --implicit-reexport --no-warn-unused-ignores $(NAMES_ALONE:%=--disable-error-code=%) benchmarks
	.venv/bin/lint-imports
	.venv/bin/npe2 validate src/napari_pathogan/napari.yaml

# The site, in site/; strict: a link that leads nowhere, or a name that is not there, is an error.
docs: env
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --quiet --site-dir site

# Wheel and sdist in dist/; the wheel is installed where nothing else is, and tried there.
release: env
	tools/release

bench: env
	$(PYTHON) benchmarks/idc.py
	$(PYTHON) benchmarks/nuclei.py
	$(PYTHON) benchmarks/stain.py
	$(PYTHON) benchmarks/masses.py

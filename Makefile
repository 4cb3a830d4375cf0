# make course · make test · make lab · make bench · make book. Each sets up .venv by itself; nothing else is needed.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
STAMP   = $(VENV)/.ready

.PHONY: course test lint lab bench book setup clean

course: $(STAMP)
	$(BIN)/tutorial run

# First the package and the runner, on all cores; then what must run undisturbed (it kills, counts or times processes);
# then every notebook from a fresh kernel (cells tagged nbval-check-output are held against what is saved in them). Each
# worker computes on one thread: two networks on two cores, not two on each.
test: export OMP_NUM_THREADS = 1
test: export TUTORIAL_HEADLESS = 1
# As the runner does: see ALLOCATOR in tutorial_lib/course/machine.py.
test: export MALLOC_TRIM_THRESHOLD_ = 4000000000
test: export MALLOC_MMAP_THRESHOLD_ = 1000000000
test: lint
	$(BIN)/python -m pytest -n logical --dist worksteal -m "not alone"
	$(BIN)/python -m pytest -m alone
	$(BIN)/python -m pytest --nbval-lax --nbval-kernel-name python3 --nbval-cell-timeout 900 \
		--override-ini=addopts= -q -p no:cacheprovider --timeout 0 -n logical --dist loadfile notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

lab: $(STAMP)
	$(BIN)/tutorial lab

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# The course as a web site, build/book/html/index.html; frames of explorers are drawn where they are missing, and kept.
book: export OMP_NUM_THREADS = 1
book: $(STAMP)
	$(BIN)/tutorial book --frames

setup: $(STAMP)

# torch comes first and by its exact version: left to a resolver, another package would pull in the CUDA build.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "tutorial needs Python 3.11 or newer: make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet "$$(grep '^torch==' constraints.txt)"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[course,data,cluster,book,test]"
	$(BIN)/python -m ipykernel install --sys-prefix --name python3 --display-name "Python 3" > /dev/null
	@touch $@

clean:
	rm -rf $(VENV) runs

# make demo | test | check | bench: each sets up what it needs in .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find src -name '*.py' -o -path 'src/skep/data/*') pyproject.toml setup.py
PURE := PYTHONPATH=src

.PHONY: demo test check bench format reference acceptance conformance clean

demo: $(VENV)/installed
	@$(BIN)/python examples/packet_counter/demo.py

test: $(VENV)/installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup

check: $(VENV)/tools
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(PURE) $(BIN)/lint-imports
	$(PURE) $(BIN)/python tools/reference.py --check
	$(PURE) $(BIN)/python -m pytest -q tests/contract tests/unit tests/conformance/test_soundness.py

bench: $(VENV)/installed
	$(BIN)/python benchmarks/run.py

# Which rows of the acceptance list hold: tests/acceptance/rows.py has them.
acceptance: $(VENV)/installed
	PYTHONPATH=tests $(BIN)/python -m pytest -q -n 2 --dist loadgroup -p support.acceptance -m acceptance

conformance: $(VENV)/installed
	$(BIN)/python tests/conformance/table.py

format: $(VENV)/tools
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

reference: $(VENV)/tools
	$(PURE) $(BIN)/python tools/reference.py

# Tools and dependencies, without skep itself: `make check` runs the sources uncompiled.
$(VENV)/tools: pyproject.toml tools/setup_venv.sh
	@sh tools/setup_venv.sh $(PYTHON) $(VENV)
	@touch $@

# skep itself, its hot packages compiled where a C compiler is at hand.
$(VENV)/installed: $(VENV)/tools $(SOURCES)
	@echo "skep: installing into $(VENV); compiling the hot packages takes a minute or two"
	@$(BIN)/python -m pip install -q --no-deps --force-reinstall .
	@touch $@

clean:
	rm -rf $(VENV) build src/*.egg-info

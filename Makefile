# Everything works from a fresh clone on Debian 12 with Python 3.11: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO_DATA ?= larboard-demo
# tests wait more than they compute: some more processes than most machines have cores
TEST_WORKERS ?= 4
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
# what is missing of Debian's packages is installed by name, as root or through sudo
APT_INSTALL = as_root() { if [ "$$(id -u)" = 0 ]; then "$$@"; else sudo "$$@"; fi; }; \
  as_root apt-get update -qq && \
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends >/dev/null

.PHONY: setup setup-dev browser postgresql nginx rsync demo test lint format bench soak clean

setup: $(VENV)/.ready ## what running Larboard needs

setup-dev: $(VENV)/.ready-dev ## what working on it needs

$(VENV)/bin/python:
	@$(PYTHON) -c "import ensurepip" 2>/dev/null || { echo "installing python3-venv"; $(APT_INSTALL) python3-venv; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --editable ".[web]"
	touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(PIP_INSTALL) --editable ".[dev]"
	touch $@ $(VENV)/.ready

browser: ## a real Chromium for the browser tests: Debian's package, without windows
	@command -v chromium-headless-shell >/dev/null || { echo "installing chromium"; $(APT_INSTALL) chromium-headless-shell fonts-dejavu-core; }

postgresql: ## a real PostgreSQL for the tests of the store: Debian's package
	@ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || { echo "installing postgresql"; $(APT_INSTALL) postgresql; }

nginx: ## a real nginx for the tests of the edge: Debian's package
	@PATH="$$PATH:/usr/sbin" command -v nginx >/dev/null || { echo "installing nginx"; $(APT_INSTALL) nginx-light; }

rsync: ## a real rsync, for the tests of how files arrive
	@command -v rsync >/dev/null || { echo "installing rsync"; $(APT_INSTALL) rsync; }

demo: setup ## a live detector with everything running, at http://127.0.0.1:8050; Ctrl-C stops it
	$(BIN)/larboard demo --data $(DEMO_DATA)

test: setup-dev browser postgresql nginx rsync ## all tests
	$(BIN)/python -m pytest -q -n $(TEST_WORKERS) --dist loadfile --no-loadscope-reorder --durations=15

lint: setup-dev ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup-dev browser postgresql ## speed and memory over 10 million packets, of the live site, and a year in a store
	$(BIN)/python -m benchmarks.process
	$(BIN)/python -m benchmarks.growing
	$(BIN)/python -m benchmarks.decoding
	$(BIN)/python -m benchmarks.merging
	$(BIN)/python -m benchmarks.convert
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.isolation
	$(BIN)/python -m benchmarks.predecessor
	$(BIN)/python -m benchmarks.site
	$(BIN)/python -m benchmarks.pixels
	$(BIN)/python -m benchmarks.load
	$(BIN)/python -m benchmarks.year
	$(BIN)/python -m benchmarks.masks

soak: setup-dev postgresql rsync ## the long run: kills, faults, a backlog, fuzz; its figures go to docs/reliability.md
	$(BIN)/python -m tests.soak --write
	THOROUGH=40 $(BIN)/python -m pytest -q tests/ingest/test_arrivals.py tests/ingest/test_watch.py tests/formats/test_corpus.py -k "any_order or crash_before or the_watch_gives"

clean:
	rm -rf $(VENV) $(DEMO_DATA) benchmarks/data .pytest_cache .mypy_cache .ruff_cache .hypothesis

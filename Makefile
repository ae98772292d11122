# Every target works from a bare clone: it installs what it needs into .venv first.
# Nothing that CI does is out of a person's reach: .ci/run calls these same targets.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
TORCH ?= torch==2.13.0
# Where torch comes from, if not from pip's own configuration: make TORCH_INDEX=<url of a CPU index> install
TORCH_INDEX ?=
RUNTIME ?= cpu
DEMO_DIR ?= .demo
PORT ?= 8080

.PHONY: help install demo serve test test-system test-clients test-long e2e lint format types image-lint bench bench-more bench-gpu study-rlhf study-data clean

help: ## Show this list
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(VENV)/.installed ## Create .venv and install everything (torch first, so that the CPU build is kept)

$(VENV)/.installed: pyproject.toml constraints.txt client/pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Plurality needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) '$(TORCH)'
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --config-settings editable_mode=compat -e '.[$(RUNTIME),postgres,train,demo,dev]' -e ./client
	touch $@

demo: install ## Train two small reward models, export, serve and score with them (6 minutes on 2 cores of an AMD EPYC at 2.6 GHz, and 2 to 3 to install)
	$(BIN)/plurality demo --directory $(DEMO_DIR)

serve: install ## Serve what `make demo` published, on 127.0.0.1:8080
	$(BIN)/plurality serve --store $(DEMO_DIR)/store --port $(PORT)

test: install ## Run the tests with the coverage gates
	$(BIN)/python -m tests.run

test-system: install ## Tests with PostgreSQL, promtool, Chromium and qemu, which it installs where missing (Debian, as root)
	$(BIN)/python -m tests.system.install
	TEST_SYSTEM=1 $(BIN)/python -m pytest tests/system

test-clients: install ## Contract tests with the real clients, which it installs into .clients (5 minutes the first time)
	$(BIN)/python -m tests.peer_clients.environment --into .clients
	PLURALITY_CLIENTS=.clients $(BIN)/python -m pytest tests/peer_clients

test-long: install ## Minutes-long tests: a service killed under a running GRPO
	$(BIN)/python -m research.rlhf restart
	STUDY_RLHF_WORK=.bench/rlhf $(BIN)/python -m pytest tests/research/rlhf

e2e: install ## Only the tests that start real processes
	$(BIN)/python -m pytest -m e2e

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: install ## ruff: fix and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: install ## mypy --strict over the packages, the tests and the client's examples
	$(BIN)/mypy
	$(BIN)/mypy --strict client/examples

image-lint: install ## hadolint on the Dockerfile, kubernetes-validate --strict on k8s/
	$(BIN)/python -m tests.contract.image_lint

bench: install ## The service against the offline limit and against peers, which it installs; docs/results (40 minutes)
	$(BIN)/python -m benchmarks.serving

bench-more: install ## What each mechanism gains, the hot path, how cost grows, footprint, memory over ten minutes, versions under load (35 minutes)
	$(BIN)/python -m benchmarks.mechanisms
	$(BIN)/python -m benchmarks.hot_path
	$(BIN)/python -m benchmarks.growth
	$(BIN)/python -m benchmarks.footprint
	$(BIN)/python -m benchmarks.soak
	$(BIN)/python -m benchmarks.publishing
	$(BIN)/python -m benchmarks.going_back

bench-gpu: install ## The service on a GPU against onnxruntime alone and torch fp16
	$(BIN)/python -m benchmarks.gpu

study-rlhf: install ## GRPO, a shuffled control, PPO and best of n with rewards over HTTP; docs/results/rlhf.md (an hour)
	$(BIN)/python -m research.rlhf all

study-data: install ## Margins, soft labels, MORE, size, calibration on real data in PREFERENCE_DATA; docs/results/studies (an hour)
	$(BIN)/python -m research.preferences all

clean: ## Remove what the targets made
	rm -rf $(VENV) $(DEMO_DIR) .bench .clients .mypy_cache .pytest_cache .ruff_cache .hypothesis .coverage*

# `make demo` and `make test` set up all they need; a second call installs nothing again.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo demo-cluster test check bench proto clean

BIN := .venv/bin
# Many tests wait for servers, kernels and clocks more than they compute.
WORKERS := $(shell echo $$((2 * $$(nproc))))
SUDO := $(shell [ "$$(id -u)" -eq 0 ] || command -v sudo)
RUN := .make/run
DEV := .make/dev
LAUNCHER := $(wildcard launcher/*)

help:
	@echo 'make demo          build the example, run it, edit it, run it again'
	@echo 'make demo-cluster  a job on a small real Slurm on this machine, edited, and again (root, or sudo)'
	@echo 'make test          check the code and run the tests'
	@echo 'make check         lint, format, types and imports alone'
	@echo 'make bench         measure, and print the ratios'
	@echo 'make proto         generate the code of formats/*.proto again'
	@echo 'make clean         remove what these commands made in this folder'

demo: $(RUN)
	@scripts/demo.sh

# Only root can make the namespaces that are its nodes. What root writes may not lie in this folder.
demo-cluster: $(DEV)
	@$(SUDO) $(BIN)/python -B -m tests.cluster.demo

test: check
	$(BIN)/pytest -q -n $(WORKERS) $(PYTEST)

check: $(DEV)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy -n $(shell nproc)
	$(BIN)/lint-imports

bench: $(DEV)
	$(BIN)/python -m bench

# protoc writes the version of its own run time into what it generates.
proto: $(DEV)
	$(BIN)/python -m grpc_tools.protoc -Isrc --python_out=src --pyi_out=src \
		src/lamina/formats/reapi.proto src/lamina/formats/remote.proto

clean:
	rm -rf .make .venv .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests examples bench -name __pycache__ -type d -prune -exec rm -rf {} +

.make/system: scripts/setup.sh
	@scripts/setup.sh system
	@mkdir -p .make && touch $@

.make/system-dev: scripts/setup.sh
	@scripts/setup.sh system dev
	@mkdir -p .make && touch $@ .make/system

$(RUN): pyproject.toml scripts/setup.sh $(LAUNCHER) | .make/system
	@scripts/setup.sh python
	@touch $@

$(DEV): pyproject.toml scripts/setup.sh $(LAUNCHER) | .make/system-dev
	@scripts/setup.sh python dev
	@touch $@ $(RUN)

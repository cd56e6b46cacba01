# Everything a newcomer needs. Each line here has a plain equivalent in README.md.
SHELL := /bin/sh
PYTHON ?= $(shell for p in python3 python3.11 python3.12 python3.13 python3.14 python; do \
	"$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo "$$p" && break; done)
MANAGE := .venv/bin/python manage.py
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help install demo test check bench storm chaos gpu-check demo-data clean lock site-packages dev-packages

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' Makefile

install: dev-packages ## Install everything, the PyTorch runtime included, and prepare the database
	@$(MANAGE) install_runtime torch --wait
	@$(MANAGE) migrate --verbosity 0
	@$(MANAGE) collectstatic --no-input --verbosity 0

demo: site-packages ## Run the whole site with a demo course (PORT=8000); Ctrl-C stops it
	@exec $(MANAGE) demo $(if $(PORT),--port $(PORT)) $(ARGS)

test: dev-packages ## Run the tests, on SQLite and on PostgreSQL (ARGS="-k name" for some of them)
	@$(MANAGE) install_runtime torch --wait
	@.venv/bin/python scripts/run_tests.py $(ARGS)

check: dev-packages ## Run ruff, mypy, import-linter, djlint and Django's own checks
	@.venv/bin/python scripts/check.py

bench: site-packages ## Measure hand-ins, the sandbox and autograde, against their bars
	@$(MANAGE) install_runtime torch --wait
	@status=0; for part in upload sandbox autograde; do $(MANAGE) bench $$part || status=1; done; exit $$status

storm: site-packages ## Let 300 students hand in within two minutes, on PostgreSQL, against its bar
	@$(MANAGE) bench storm

chaos: dev-packages ## Kill workers, sandboxes, broker and database under 200 hand-ins, 20 times (ARGS="--seeds 3")
	@$(MANAGE) install_runtime torch --wait
	@.venv/bin/python -m tests.chaos $(ARGS)

gpu-check: ## Try every GPU of this machine as runs do (RUNTIME_PYTHON=/a/python/with/torch)
	@$(if $(RUNTIME_PYTHON),,echo "Name a Python that has torch: make gpu-check RUNTIME_PYTHON=/path/to/python" >&2; exit 1;) \
	$(PYTHON) -m grading.runner.gpu_check --runtime "$(RUNTIME_PYTHON)" $(ARGS)

demo-data: dev-packages ## Record the demo course's results anew, by running the hand-ins
	@$(MANAGE) install_runtime torch --wait
	@$(MANAGE) record_demo

lock: dev-packages ## Pin the newest versions that pyproject.toml allows
	@.venv/bin/python scripts/lock.py

clean: ## Remove what install made (.venv, node_modules, caches); var/ with your data stays
	rm -rf .venv node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .grimp_cache test-results

site-packages:
	@$(if $(PYTHON),,echo "Python 3.11 or newer was not found on PATH; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1;) $(PYTHON) scripts/bootstrap.py

dev-packages:
	@$(if $(PYTHON),,echo "Python 3.11 or newer was not found on PATH; install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1;) $(PYTHON) scripts/bootstrap.py --dev

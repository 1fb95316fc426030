# Everything a developer or a newcomer types. Needs make and Python 3.11 to 3.13, nothing else.

PYTHON ?= $(shell for v in python3.13 python3.12 python3.11 python3; do \
	$$v -c 'import sys, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
	2>/dev/null && echo $$v && break; done)
VENV := .venv
RIVALS := .venv-bench
BIN := $(VENV)/bin
PORT ?= 8000
SECONDS ?= 600
# A dead link, or a page that is nowhere in the plan, is an error. The switch is for an advertisement.
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
EXAMPLES ?= 10000
PERIODS ?= 120
JOBS ?= 1000000
DOCUMENTS ?= 1000
BENCH ?=
ROUNDS ?= 3
SHARE ?= 1

.DEFAULT_GOAL := help
.PHONY: help demo serve check test orders storm machines year hostile fuzz plans bench docs image-steps site lock clean

help: ## this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: $(VENV)/installed ## upload a sample, watch it become searchable, search it
	@$(BIN)/python scripts/demo.py --port $(PORT)

serve: $(VENV)/installed ## page, API and workers on http://127.0.0.1:8000
	$(BIN)/docmill serve --port $(PORT)

check: $(VENV)/installed-dev ## format, lint, types, import contracts, links of the docs, what docmill is deployed with
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@sh scripts/check-page.sh
	@said="$$($(MKDOCS) 2>&1)" || { echo "$$said"; exit 1; } # told to be quiet, it finds nothing wrong
	@$(BIN)/pytest -q tests/unit/test_deploy.py

test: $(VENV)/installed-dev ## every test; sets up what they need, a browser too
	@sh scripts/ensure-tools.sh
	$(BIN)/pytest --numprocesses 4 --durations 20

storm: $(VENV)/installed-dev ## everything is killed at random while clients work: SECONDS=600 SEED=7
	cd tests && ../$(BIN)/python -m storm --seconds $(SECONDS) $(if $(SEED),--seed $(SEED))

machines: $(VENV)/installed-dev ## workers on machines that are cut off, die, mistake the time: DOCUMENTS=1000
	cd tests && ../$(BIN)/python -m machines --documents $(DOCUMENTS)

year: $(VENV)/installed-dev ## a year of documents that come and go, in minutes: PERIODS=120
	PERIODS=$(PERIODS) $(BIN)/python -m pytest -s --timeout 7200 tests/year

fuzz: $(VENV)/installed-dev ## properties of all input, on many more: EXAMPLES=10000 SECONDS=600
	EXAMPLES=$(EXAMPLES) $(BIN)/pytest --hypothesis-profile=fuzz --timeout=0 tests/fuzz \
		tests/unit/test_shallow_html.py tests/unit/test_chunk.py
	FUZZ_SECONDS=$(SECONDS) $(BIN)/pytest --timeout=0 tests/acceptance/test_described.py -k every_answer

plans: $(VENV)/installed-dev ## what every statement reads of a database with so many jobs: JOBS=1000000
	JOBS=$(JOBS) $(BIN)/pytest -s -q --timeout=0 tests/plans

hostile: $(VENV)/installed-dev ## hostile files of every kind: how each ends, its time, its memory
	cd tests && ../$(BIN)/python -m hostile $(FILES)

orders: $(VENV)/installed-dev ## docmill's operations against each other in every order there is
	$(BIN)/pytest tests/isolation --breaks 99 --timeout 1800

bench: $(VENV)/installed-dev $(RIVALS)/installed ## docmill beside its limits and rivals: BENCH="corpus upload" ROUNDS=3 QUICK=1 SHARE=0.1
	$(BIN)/python bench $(BENCH) --rounds $(ROUNDS) --share $(SHARE) $(if $(QUICK),--quick)

image-steps: $(VENV)/installed ## do what the Dockerfile says without an engine, and use what comes out
	$(BIN)/python scripts/try_dockerfile.py

docs: $(VENV)/installed ## write the tables in docs/ anew from the code
	$(BIN)/python scripts/write_reference.py

site: $(VENV)/installed-dev ## the documentation as a site, in build/site
	$(MKDOCS)

lock: $(VENV)/installed-dev ## write requirements*.lock anew, newest versions
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-annotate --no-header \
		--python-version 3.11 pyproject.toml --output-file requirements.lock
	$(BIN)/uv pip compile --quiet --universal --upgrade --no-annotate --no-header \
		--python-version 3.11 --group dev pyproject.toml --output-file requirements-dev.lock

clean: ## remove what was installed and built
	rm -rf $(VENV) $(RIVALS) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "docmill needs Python 3.11, 3.12 or 3.13 with venv (on Debian:" \
		"apt install python3 python3-venv)."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: requirements.lock pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/installed-dev: requirements-dev.lock $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

# What docmill is measured against lives apart from it, and finds docmill's packages behind its own. A
# rival that does not install here costs its own lines only.
$(RIVALS)/installed: bench/requirements.txt $(VENV)/installed-dev
	$(BIN)/python -m venv $(RIVALS)
	@echo "import site; site.addsitedir('$(CURDIR)/$$(echo $(VENV)/lib/python3.*/site-packages)')" \
		> $$(echo $(RIVALS)/lib/python3.*/site-packages)/docmill.pth
	@grep -v '^#' bench/requirements.txt | while read -r rival; do \
		$(RIVALS)/bin/python -m pip install --quiet --disable-pip-version-check "$$rival" \
			|| echo "$$rival does not install here; its lines are skipped." >&2; \
	done
	@touch $@

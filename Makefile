# The README's commands. Each sets up .venv first, from nothing but Python 3.11.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test serve lint format bench bench-others faults revocations clean

demo: $(READY)
	$(BIN)/carelane demo

test: $(READY)
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

# The sample systems' tokens, so that the README's curl works at once; what is set already stays.
# config.yaml knows a sender by the SHA-256 of its token: mercy-sample-token, hub-sample-token.
serve: export MERCY_TOKEN_SHA256 ?= bc29aa235a7399d362e9ee2053fccce8c73cd62fc618d71da8ab35735f4e1df0
serve: export HUB_TOKEN_SHA256 ?= 1023ca07fddfcf3580d551da25ffd979e93886b3597d99269ee55056477ac612
serve: export MERCY_OUTBOUND_TOKEN ?= to-mercy-sample-token
serve: export HUB_OUTBOUND_TOKEN ?= to-hub-sample-token
serve: $(READY)
	$(BIN)/carelane serve

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/carelane lint

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(READY)
	$(BIN)/carelane bench

# The mapping languages that the adapter is measured against: fpml into .venv, and, where npm is
# there, jsonata into a folder that git ignores. Once installed, `make bench` measures them too.
bench-others: $(READY)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	-npm install --silent --no-save --no-package-lock --prefix benchmarks/languages jsonata@2.2.2
	$(BIN)/carelane bench adapter others

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $(READY)

# About ten minutes of crashes; the report is written to docs/.
faults: $(READY)
	$(BIN)/python tests/faults/harness.py --seconds 600 --report docs/faults.md

# 1,000 consents revoked at random times while the engine sends to slow and failing destinations.
revocations: $(READY)
	$(BIN)/python tests/faults/revocations.py --trials 1000 --report docs/revocations.md

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis

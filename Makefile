# make demo   train the first notebook's model and let it write
# make test   unit tests, and every notebook through nbval
# make check  lint and format
# make site   the course, the players and the reference as a site, in build/site
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# A notebook's kernel works in another folder. No comment behind the value: its blank would be part of it.
ifdef CHARLM_DATA
override CHARLM_DATA := $(shell realpath "$(CHARLM_DATA)")
export CHARLM_DATA
endif

.PHONY: demo test check notebooks bench site

demo: $(VENV)/installed
	@$(BIN)/python -m tools.demo

# Two workers, each with a core of its own.
test: $(VENV)/installed
	@CHARLM_OFFLINE=1 CHARLM_PROFILE=fast TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 \
		$(BIN)/python -m pytest -q -n 2 --dist loadfile --nbval-lax --nbval-current-env tests notebooks

# Ruff, at the version that pyproject.toml pins.
check: $(VENV)/checked
	@$(BIN)/ruff check charlm tests tools benchmarks
	@$(BIN)/ruff format --check charlm tests tools benchmarks

# For maintainers: run the notebooks in place, in the profile of this machine, on the real texts.
notebooks: $(VENV)/installed
	@$(BIN)/python -m tools.execute notebooks/*.ipynb

# The notebooks as they are saved: none runs, and nothing is fetched.
site: $(VENV)/builds-site
	@$(BIN)/python -m tools.site

# With PyTorch among the competitors where it is installed: .venv/bin/pip install torch
bench: $(VENV)/installed
	@$(BIN)/python -m benchmarks

$(VENV)/checked: $(VENV)/installed pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep -o 'ruff==[0-9.]*' pyproject.toml)"
	@touch $@

$(VENV)/builds-site: $(VENV)/installed pyproject.toml
	@$(BIN)/python -m pip install -q --disable-pip-version-check -e ".[site]"
	@touch $@

$(VENV)/installed: requirements.txt
	@echo "Installing what requirements.txt names into $(VENV); a minute or two, once."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install -q --disable-pip-version-check -r requirements.txt || { \
		echo "$$($(BIN)/python --version) cannot have all of requirements.txt, or no package index was reached." \
			"charlm is tried with Python 3.10 to 3.13: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; rm -rf $(VENV); exit 1; }
	@touch $@

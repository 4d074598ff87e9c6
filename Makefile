# The remote access framework: what can be done from a checkout.
#
# Everything that needs root says so; `make deps` installs what is missing.

SHELL       := /bin/bash
PYTHON      := /usr/bin/python3
CACHE       ?= /var/cache/tundev
RUFF_VERSION := 0.17.6
RUFF        := $(CACHE)/ruff-$(RUFF_VERSION)/bin/ruff
ATHERIS_VERSION := 3.0.0
ATHERIS     := $(CACHE)/atheris-$(ATHERIS_VERSION)/bin/python
# For each target of tests/fuzz; tests/soak takes SOAK_SEED from the environment.
SOAK_SECONDS ?= 600
SCRIPTS      = $(shell grep -rlIE --exclude-dir=__pycache__ '^\#!(/usr)?/bin/(env )?(ba|da)?sh' --exclude-dir=.git --exclude-dir=build --exclude-dir=dist --exclude-dir=debian --exclude='*.py' . ; ls rootfs-overlay/*/usr/share/bash-completion/completions/*; ls debian/*.postinst debian/*.prerm debian/*.postrm 2>/dev/null)
SOURCES      = $(shell find vtunlib rdv tundev rootfs-overlay debian Makefile -type f -not -path '*/__pycache__/*' -not -path 'debian/.debhelper/*')

.DEFAULT_GOAL := help
.PHONY: help deps check lint test soak screenshots demo bench deb image can-be-built clean

help: ## this list
	@echo 'Usage: make TARGET'
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## (.*)$$/  \1\t\2/' | expand -t 12

deps: ## install what building and testing need (root)
	@tests/install-deps

lint: deps $(RUFF) ## ruff, strict mypy, shellcheck
	$(RUFF) check .
	$(RUFF) format --check .
	$(PYTHON) -m mypy
	shellcheck $(SCRIPTS)

check: lint ## lint and the fast tests: unit and bus
	$(PYTHON) -m pytest tests/unit tests/bus

test: lint deb ## everything: lint, unit, bus, netns, lab, QEMU, two parts side by side (root)
	$(PYTHON) -m tests

soak: deps deb $(ATHERIS) ## hours: fuzz what strangers send, SOAK_SECONDS=600 a target; cut a card's power (root)
	$(ATHERIS) -m tests.fuzz --seconds $(SOAK_SECONDS) --corpus $(CACHE)/corpus
	$(PYTHON) -m pytest -s tests/soak

screenshots: deps ## take the pictures of the docs anew (root)
	$(PYTHON) -m pytest -q tests/browser/test_scenes.py
	for picture in $$(grep -oh 'images/[a-z-]*\.png' docs/*.md | sort -u); do \
	  cp "build/screenshots/$${picture#images/}" "docs/$$picture"; \
	done

demo: deps deb ## three machines, one session, one command (root)
	$(PYTHON) -m tests.lab demo

bench: deps deb ## measure the product in the lab (root)
	$(PYTHON) -m tests.bench

deb: dist/.built ## build the packages into dist/

dist/.built: $(SOURCES) | deps
	@tests/build-packages
	@touch $@

IMAGE = $(PYTHON) -m image.build $(if $(ROLE),'$(ROLE)') $(if $(ARCH),--arch '$(ARCH)') $(if $(BASE),--base '$(BASE)') \
  $(if $(RELEASE),--release '$(RELEASE)') $(if $(PIGEN),--pigen '$(PIGEN)')

image: can-be-built deps deb ## build a ready-to-flash image: ROLE=onsite|master (root; image/README.md)
	@$(IMAGE)

# What is wrong with the words is said before anything is installed or built.
can-be-built:
	@$(IMAGE) --check

clean: ## remove what was built, and what an interrupted lab left
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -prune -exec rm -rf '{}' +
	@if [ "$$(id -u)" = 0 ] && [ -e /run/rdvlab ]; then $(PYTHON) -m tests.lab clean; fi

# It sees Debian's modules: what is fuzzed is what is installed.
$(ATHERIS):
	$(PYTHON) -m venv --system-site-packages $(CACHE)/atheris-$(ATHERIS_VERSION)
	$(CACHE)/atheris-$(ATHERIS_VERSION)/bin/pip install --quiet atheris==$(ATHERIS_VERSION)

$(RUFF):
	$(PYTHON) -m venv $(CACHE)/ruff-$(RUFF_VERSION)
	$(CACHE)/ruff-$(RUFF_VERSION)/bin/pip install --quiet ruff==$(RUFF_VERSION)

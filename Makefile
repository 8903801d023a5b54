# `make demo` and `make test` are the two commands of the README; both install what they need into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FASHION_MNIST ?= /usr/share/datasets/fashion-mnist

.DEFAULT_GOAL := help
.PHONY: help install system demo test lint types types-tensorrt unit pages arm docs schema train train-unlike train-scenes figures campaign release-check clean

help:  ## Say what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): pyproject.toml demo/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[all,dev,docs]' --editable demo
	touch $@

system:  ## Install the system packages that some tests use (Debian and Ubuntu, as root)
	.ci/system-packages

install: $(INSTALLED)  ## Make .venv with everything that was tested

demo: $(INSTALLED)  ## Export the embedded checkpoint, print its accuracy and a first latency
	$(BIN)/dmformer export --target onnxruntime --target openvino --output build/demo --force
	$(BIN)/dmformer bench build/demo/* --duration 0.5 --launches 1 --no-layers

test:  ## Everything that must pass before a commit lands
	@# What waits for downloads, and what keeps one core busy, runs beside the rest.
	@$(MAKE) --no-print-directory -j2 system install
	@$(MAKE) --no-print-directory lint
	@$(MAKE) --no-print-directory -j2 types unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy

docs: $(INSTALLED)  ## The documentation as a site, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

types-tensorrt: $(INSTALLED)  ## Check the NVIDIA rooms against the types of TensorRT's Python API (downloads stubs)
	$(BIN)/python docs/check_tensorrt_types.py

unit: $(INSTALLED)
	$(BIN)/pytest -n 2 --dist worksteal -m "not page and not arm"

pages: $(INSTALLED)  ## Run every command of the long pages of the documentation (before a release)
	$(BIN)/pytest -n 2 --dist worksteal -m page

arm: $(INSTALLED) system  ## Run dmformer on an emulated Arm machine behind sshd (Debian; makes it in build/arm)
	$(BIN)/pytest -m arm tests/arm

schema: $(INSTALLED)  ## Write docs/manifest.schema.json again
	$(BIN)/python docs/make_schema.py

train: $(INSTALLED)  ## Train the embedded checkpoint again (about an hour on 2 quiet cores)
	$(BIN)/python examples/train_fashion_mnist.py --data $(FASHION_MNIST) --output build/dmformer-tiny-fashion-mnist.pt
	$(BIN)/python examples/make_assets.py --data $(FASHION_MNIST) --state build/dmformer-tiny-fashion-mnist.pt

train-unlike: $(INSTALLED)  ## Train small unlike checkpoints, on which benchmarks.int8_unlike compares INT8 (a quarter of an hour)
	$(BIN)/python examples/train_unlike.py

train-scenes: $(INSTALLED)  ## Train the embedded segmenter again (about two hours on 2 quiet cores)
	$(BIN)/python examples/train_scenes.py --data $(FASHION_MNIST) --output build/begun.safetensors
	$(BIN)/python examples/train_scenes.py --data $(FASHION_MNIST) --start build/begun.safetensors --output demo/dmformer_demo/dmformer-tiny-scenes.safetensors

figures: $(INSTALLED)  ## Print every figure of the README (about half an hour; NNCF's row where nncf is installed)
	$(BIN)/dmformer export -t onnxruntime -t openvino --output build/figures --force
	$(BIN)/dmformer export -t onnxruntime -t openvino --int8 --output build/figures --force
	$(BIN)/python -m benchmarks.int8_speed

campaign: $(INSTALLED)  ## Hostile inputs and kills, through the command line (about half an hour)
	$(BIN)/python -m benchmarks.hostile
	$(BIN)/python -m benchmarks.kills

release-check: pages  ## Build both distributions as a release does, and try them on every Python from 3.10 to 3.13 that is here
	.ci/release build
	@for version in 3.10 3.11 3.12 3.13; do \
	  if python$$version --version > /dev/null 2>&1; then .ci/release test python$$version || exit 1; \
	  else echo "skipped: no python$$version here"; fi; done

clean:  ## Remove what was built
	rm -rf build dist .venv .mypy_cache .ruff_cache .pytest_cache

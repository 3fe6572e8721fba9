# This project with its whole environment, in .venv.
#
#   docker build --target cpu -t mmkd_plugin:cpu .
#   docker build --target cuda -t mmkd_plugin:cuda .
#   docker run --rm -it --gpus all mmkd_plugin:cuda
#
# With prebuilt wheels of mmcv: --build-arg MMKD_WHEELS=URL

FROM debian:bookworm-slim AS cpu
ARG MMKD_WHEELS=
# torch without CUDA's libraries.
ARG PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ git make python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /workspace
COPY . .
RUN PIP_NO_CACHE_DIR=1 make setup
ENV PATH="/workspace/.venv/bin:$PATH"
CMD ["bash"]

# CUDA's version is that of the torch on the package index.
FROM nvidia/cuda:13.0.1-devel-ubuntu24.04 AS cuda
ARG MMKD_WHEELS=
# The GPUs to compile for: Ampere, Ada, Hopper, Blackwell.
ARG TORCH_CUDA_ARCH_LIST="8.0;8.6;8.9;9.0;10.0;12.0"
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends \
        ca-certificates g++ git make python3-dev python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /workspace
COPY . .
# There is no GPU while an image is built.
RUN PIP_NO_CACHE_DIR=1 FORCE_CUDA=1 make setup
ENV PATH="/workspace/.venv/bin:$PATH"
CMD ["bash"]

# An image for a cluster, on CPUs unless told otherwise:
#     docker build -t unseen .
#     docker run --rm -v "$PWD:/work" unseen unseen prune digits --keep 0.7 --out runs/digits
# With CUDA wheels of torch (the driver of the host is enough):
#     docker build -t unseen:cuda --build-arg TORCH_WHEELS=https://download.pytorch.org/whl/cu130 .
ARG BASE=python:3.11-slim
FROM ${BASE}

ARG TORCH_WHEELS=https://download.pytorch.org/whl/cpu
# Extras of pyproject.toml; Ray's nodes need "ray" and whatever the learner needs.
ARG EXTRAS=torch,ray,remote

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONUNBUFFERED=1

WORKDIR /opt/unseen
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
RUN pip install --constraint constraints.txt --extra-index-url "${TORCH_WHEELS}" ".[${EXTRAS}]"

# Clusters start containers as users of their own: HOME is one that all of them can write.
RUN mkdir -p /work && chmod 1777 /work
ENV HOME=/work
USER 1000
WORKDIR /work
# No entry point: Kubernetes and Ray bring their own command.
CMD ["unseen", "--help"]

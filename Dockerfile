# syntax=docker/dockerfile:1
# Targets: `runtime` (the `tamis` command), `loader` (puts the example corpus into a bucket), `notebook` (Jupyter).
# `cuda` is `runtime` for NVIDIA GPUs: docker build --target cuda .

FROM rust:1.95-bookworm AS build
# nasm makes JPEG decoding about twice as fast. cmake is not needed.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends nasm \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
# `dist` makes a program of two thirds of the size, in much longer and with 10 GB of memory (Cargo.toml).
ARG PROFILE=release
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --profile "$PROFILE" --locked --package tamis-cli --bin tamis \
    && cp "target/$PROFILE/tamis" /usr/local/bin/tamis

FROM debian:bookworm-slim AS runtime
# curl is for the health checks.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tamis --create-home tamis
COPY --from=build /usr/local/bin/tamis /usr/local/bin/tamis
COPY --chmod=755 docker/tamis.sh /usr/local/bin/tamis-entry
COPY --chmod=755 docker/health.sh /usr/local/bin/tamis-health
USER tamis
WORKDIR /var/lib/tamis
# What an executor keeps until it is fetched lies in TMPDIR.
ENV TMPDIR=/var/lib/tamis
EXPOSE 50050 50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 CMD ["tamis-health"]
ENTRYPOINT ["tamis-entry"]
CMD ["serve"]

FROM nvidia/cuda:13.0.2-runtime-ubuntu24.04 AS cuda
# The same program, beside CUDA's libraries. NVRTC compiles its kernels when a model is loaded.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ca-certificates curl cuda-nvrtc-13-0 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /var/lib/tamis --create-home tamis
COPY --from=build /usr/local/bin/tamis /usr/local/bin/tamis
COPY --chmod=755 docker/tamis.sh /usr/local/bin/tamis-entry
COPY --chmod=755 docker/health.sh /usr/local/bin/tamis-health
USER tamis
WORKDIR /var/lib/tamis
ENV TMPDIR=/var/lib/tamis
EXPOSE 50050 50051
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 CMD ["tamis-health"]
ENTRYPOINT ["tamis-entry"]
CMD ["serve"]

FROM python:3.11-slim AS loader
RUN pip install --no-cache-dir boto3==1.44.8 \
    && useradd --system --uid 10001 --create-home tamis
COPY docker/load.py /opt/tamis/load.py
COPY examples/corpus/*.parquet /opt/tamis/corpus/
USER tamis
ENV TAMIS_LOAD_FROM=/opt/tamis/corpus
ENTRYPOINT ["python", "/opt/tamis/load.py"]

FROM python:3.11-slim AS notebook
COPY examples/notebooks/requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir jupyterlab==4.6.6 --requirement /tmp/requirements.txt \
    && useradd --uid 1000 --create-home tamis
USER tamis
WORKDIR /home/tamis/notebooks
EXPOSE 8888
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8888/api', timeout=2)"]
ENTRYPOINT ["jupyter", "lab", "--ip=0.0.0.0", "--port=8888", "--no-browser"]

# What `docker build .` makes.
FROM runtime

# Targets: `service` (the default; never torch) and `trainer`.
#   docker build --build-arg BASE=python:3.12-slim-bookworm@sha256:... -t plurality-service:0.1.0 .
#   docker build --target trainer -t plurality-trainer:0.1.0 .
# A release pins BASE by digest; a digest that nobody resolved is not invented here.
# RUNTIME=gpu needs a BASE that holds Python, CUDA and cuDNN.
ARG BASE=python:3.12-slim-bookworm
ARG RUNTIME=cpu

FROM ${BASE} AS deps
ENV PATH=/opt/venv/bin:${PATH} \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ONLY_BINARY=:all:
RUN python -m venv /opt/venv
WORKDIR /src
# Without the packages beside it pyproject.toml installs the dependencies alone: this layer outlives edits of the source.
COPY pyproject.toml constraints.txt ./
ARG RUNTIME
RUN touch README.md && pip install -c constraints.txt ".[${RUNTIME},postgres]"

FROM deps AS deps-trainer
ARG RUNTIME
ARG TORCH="torch==2.13.0"
ARG TORCH_INDEX=""
# torch first and alone: only it comes from TORCH_INDEX, and the build that was chosen there is kept.
RUN echo "${TORCH}" > torch.txt \
    && pip install ${TORCH_INDEX:+--index-url "${TORCH_INDEX}"} -r torch.txt \
    && pip install -c constraints.txt ".[${RUNTIME},postgres,train]"

FROM deps AS build-service
COPY . .
RUN pip install --no-deps --force-reinstall . && pip check

FROM deps-trainer AS build-trainer
COPY . .
RUN pip install --no-deps --force-reinstall . && pip check

FROM ${BASE} AS runtime
# A name for the number: torch asks the system who it is.
RUN groupadd --gid 10001 plurality \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin plurality
# The root may be read-only: /tmp is all that either image writes to outside of its mounts.
ENV HOME=/tmp \
    PATH=/opt/venv/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /tmp
USER 10001:10001
STOPSIGNAL SIGTERM
ENTRYPOINT ["plurality"]
ARG BASE
ARG REVISION=""
ARG VERSION=0.1.0
LABEL org.opencontainers.image.base.name="${BASE}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.version="${VERSION}"

FROM runtime AS trainer
COPY --from=build-trainer /opt/venv /opt/venv
LABEL org.opencontainers.image.title="plurality-trainer" \
      org.opencontainers.image.description="Trains, calibrates and exports reward models."
HEALTHCHECK NONE
CMD ["train", "--help"]

FROM runtime AS service
COPY --from=build-service /opt/venv /opt/venv
LABEL org.opencontainers.image.title="plurality-service" \
      org.opencontainers.image.description="Scores with reward models over REST."
ENV PLURALITY_STORE=/models \
    PLURALITY_HTTP__HOST=0.0.0.0 \
    PLURALITY_HTTP__PORT=8080 \
    PLURALITY_HTTP__OPS_PORT=9090
EXPOSE 8080 9090
# http.client, because urllib would send the probe through a proxy that the environment names.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --retries=6 \
    CMD ["python", "-c", "import http.client as h, os, sys; c = h.HTTPConnection('127.0.0.1', int(os.environ['PLURALITY_HTTP__OPS_PORT']), timeout=2); c.request('GET', '/livez'); sys.exit(c.getresponse().status != 200)"]
CMD ["serve"]

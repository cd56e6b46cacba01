# Two images of one site: `site` (web, system worker, beat, migrations) and `runner` (what judges homework: the same, with PyTorch beside it).
#   docker build --target site -t courseapp-site .
#   docker build --target runner -t courseapp-runner .

ARG PYTHON=python:3.11-slim-trixie
ARG NODE=node:22-bookworm-slim

FROM ${NODE} AS browser
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund --loglevel=error

FROM ${PYTHON} AS packages
COPY requirements.txt /tmp/
RUN python -m venv /opt/courseapp \
 && /opt/courseapp/bin/pip install --no-cache-dir --disable-pip-version-check --requirement /tmp/requirements.txt

# An environment of its own: the site never imports torch, and students' code never sees the site's packages.
FROM ${PYTHON} AS runtime
# pip takes the build for GPUs unless an index of other builds is named; PyTorch keeps one for processors only, a tenth as large.
ARG TORCH_INDEX=""
COPY runtimes/torch/requirements.txt /tmp/
RUN python -m venv /opt/runtime \
 && /opt/runtime/bin/pip install --no-cache-dir --disable-pip-version-check \
      ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} --requirement /tmp/requirements.txt

FROM ${PYTHON} AS base
RUN apt-get update \
 && apt-get install --yes --no-install-recommends libseccomp2 postgresql-client \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /nonexistent --no-create-home --shell /usr/sbin/nologin courseapp \
 && install --directory --owner courseapp --group courseapp --mode 0700 /data /data/run /runner
ENV PATH=/opt/courseapp/bin:$PATH PYTHONUNBUFFERED=1 STATIC_ROOT=/srv/static
COPY --from=packages /opt/courseapp /opt/courseapp
WORKDIR /app
COPY . .

FROM base AS static
COPY --from=browser /app/node_modules node_modules
RUN DATA_DIR=/tmp/build python manage.py collectstatic --no-input --verbosity 0 && chmod -R a+rX /srv/static

FROM base AS site
COPY --from=static /srv/static /srv/static
RUN python -m compileall -q courseapp grading forum
ENV DATA_DIR=/data
USER courseapp
CMD ["gunicorn", "--bind", "0.0.0.0:8000", "--workers", "2", "--threads", "8", "--no-control-socket"]

FROM site AS runner
COPY --from=runtime /opt/runtime /opt/runtime
ENV RUNTIME_PYTHON=/opt/runtime/bin/python
CMD ["python", "manage.py", "runner_host"]

# The worker, for CPU and CUDA alike: PyPI's torch brings its own CUDA libraries, so the host needs a driver and
# the NVIDIA container toolkit, and the image no CUDA base. PyTorch's CPU build, which is 4 GB less, comes from the
# index that its page "Get started" names.
#
#   docker build -t pose-worker .                                       # CPU and CUDA
#   docker build -t pose-worker --build-arg TORCH_INDEX=… .             # CPU alone
#   docker run --init -v "$PWD/work:/work" pose-worker                  # with nothing configured
#   docker run --init --gpus all -e CELERY_BROKER_URL=… pose-worker     # and so on: see docs/settings.md
#
# All of it with Redis, S3 and Flower: deploy/compose.yaml. Its steps without an engine: scripts/image-steps.sh
ARG PYTHON=3.11

FROM python:${PYTHON}-slim AS dependencies
ARG TORCH_INDEX=
COPY requirements.lock scripts/dependencies.sh /build/
RUN python -m venv /opt/venv && PIP="/opt/venv/bin/python -m pip --no-cache-dir" \
    sh /build/dependencies.sh /build/requirements.lock

FROM dependencies AS project
COPY pyproject.toml README.md LICENSE scripts/image-steps.sh /build/
COPY pose /build/pose
COPY worker /build/worker
RUN sh /build/image-steps.sh wheel

FROM python:${PYTHON}-slim
# Where scans/, results/ and .run/ are while SCANS_URL and the others do not say otherwise. A folder that is
# mounted here must be writable for user 10001.
RUN groupadd --gid 10001 worker && useradd --uid 10001 --gid 10001 --create-home worker && \
    install -d -o worker -g worker /work
# By itself, so that a change of the code moves no gigabytes.
COPY --from=dependencies /opt/venv /opt/venv
RUN --mount=type=bind,from=project,source=/build,target=/build sh /build/image-steps.sh install

# The last two: without them the container toolkit does not bring the driver in.
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /work
USER 10001:10001
# The face detector, 0.2 MB, into the user's cache. Without the public network give a mirror:
# --build-arg WEIGHTS_URL=https://…; --build-arg FACES= leaves it out, and OpenCV's cascades look for faces.
ARG FACES=yunet
ARG WEIGHTS_URL=
RUN [ -z "$FACES" ] || WEIGHTS_URL="$WEIGHTS_URL" pose weights pull $FACES

# Liveness: by what it does, not by its being there. Whether it can do scans: `python -m worker health --ready`.
HEALTHCHECK --interval=30s --timeout=30s --start-period=180s --retries=3 CMD ["python", "-m", "worker", "health"]
# `--init` above: a process 1 that reaps children. SIGTERM hands running scans back within SHUTDOWN_GRACE_S: give it
# some seconds more (`docker stop --time 30`).
CMD ["celery", "-A", "worker", "worker"]

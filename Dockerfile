# The worker, for CPU and CUDA alike: PyPI's torch brings its own CUDA libraries, so the host needs a driver and
# the NVIDIA container toolkit, and the image no CUDA base.
#
#   docker build -t pose-worker .
#   docker run --init -v "$PWD/work:/work" pose-worker                  # with nothing configured
#   docker run --init --gpus all -e CELERY_BROKER_URL=… pose-worker     # and so on: see the README's settings
#
# This file has not been tried: it was written where no container engine is.
FROM python:3.11-slim

WORKDIR /opt/pose-worker
# By itself, so that a change of the code does not fetch gigabytes again.
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock

COPY pyproject.toml README.md LICENSE ./
COPY pose pose
COPY worker worker
RUN pip install --no-cache-dir --no-deps --no-build-isolation .

# Where scans/, results/ and .run/ are while SCANS_URL and the others do not say otherwise. A folder that is
# mounted here must be writable for user 10001.
RUN useradd --uid 10001 --create-home worker && install -d -o worker -g worker /work
WORKDIR /work
USER worker

# Without these the container toolkit does not bring the driver in.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
ENV PYTHONUNBUFFERED=1

# `--init` above: a process 1 that reaps children. SIGTERM lets a running scan end; give it that time.
CMD ["celery", "-A", "worker", "worker"]

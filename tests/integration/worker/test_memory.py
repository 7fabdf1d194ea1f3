"""What the parent of a worker's processes imports, its processes share and can use."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from worker.models.memory import give_back_memory

ROOT = Path(__file__).parents[3]

# Two processes, as a worker has them: one forked after the import, one before it.
PROGRAM = """
import json, os, sys
from benchmarks.throughput import memory_of
from worker.config.settings import read_settings
from worker.models.loading import get_estimator, get_face_detector, limit_threads
from worker.models.memory import import_libraries
from worker.scans.self_check import check_process

settings = read_settings(model="depth-hrnet", runtime="torch", face_detector="haar", torch_threads=2)

def work():
    reading, writing = os.pipe()
    if os.fork() == 0:
        sys.stdout = sys.stderr
        try:
            limit_threads(settings, 1)
            get_estimator(settings), get_face_detector(settings)
            check_process(settings)
            os.write(writing, str(memory_of(os.getpid()).uss).encode())
        finally:
            os._exit(0)
    os.close(writing)
    os.wait()
    return float(os.read(reading, 100))

alone = work()
import_libraries(settings)
torch = sys.modules["torch"]
facts = {
    "threads": len(os.listdir("/proc/self/task")),
    "uses the GPU": torch.cuda.is_initialized(),
    "alone": alone,
    "shared": work(),
}
print(json.dumps(facts))
"""


def test_forked_processes_share_the_libraries_and_can_use_them():
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},  # it ends its own threads before a fork
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    assert facts["threads"] == 1
    assert facts["uses the GPU"] is False
    assert facts["shared"] < 0.6 * facts["alone"]


def test_memory_that_is_free_is_given_back():
    def own_mib() -> int:
        fields = Path("/proc/self/statm").read_text().split()
        return (int(fields[1]) - int(fields[2])) // 256

    held = [np.ones(10_000) for _ in range(3000)]  # 240 MB in pieces that the C library keeps
    last = np.ones(10_000)
    full = own_mib()
    del held
    give_back_memory()
    assert own_mib() < full - 150
    assert last.all()

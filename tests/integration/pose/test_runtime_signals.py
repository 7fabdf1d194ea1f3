"""A process that computes with OpenVINO hears its signals as before."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from tests.support.running import ROOT

pytestmark = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="needs the extra cpu")

# Two models; the first one goes first. Python's handlers run on the thread's stack for signals, where it
# has one.
SCRIPT = """
import gc, os, signal
import torch
from pose.estimators.runtime import Converted

signal.signal(signal.SIGUSR1, lambda *_: print("heard"))
models = [Converted(torch.nn.Conv2d(1, 1, size), 1, "network", None) for size in (1, 3)]
while models:
    del models[0]
    gc.collect()
    os.kill(os.getpid(), signal.SIGUSR1)
"""


def test_a_signal_is_heard_after_a_model_is_gone():
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", SCRIPT],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "heard\nheard\n"), done.stderr

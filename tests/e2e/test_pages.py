"""The commands of the pages on uploads and operations, run as they stand there, with a real worker."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.needs import need
from tests.support.running import PATIENCE_S, ROOT, World, wait_until


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.M | re.S)


@dataclass
class Site:
    """A folder and an environment in which a user works, and where a worker takes scans."""

    world: World
    redis: str

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["sh", "-c", script],
            cwd=self.world.folder,
            env=self.world.environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory, redis_server, s3_server, s3_client) -> Iterator[Site]:
    programs = [name for name in ("curl", "redis-cli") if shutil.which(name) is None]
    need(programs, "curl redis-tools")
    folder: Path = tmp_path_factory.mktemp("pages")
    for bucket in ("scans", "results"):
        s3_client.create_bucket(Bucket=bucket)
    (url,) = redis_server.emptied(8)
    # The programs of this environment, by their names.
    path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
    (folder / "bin").mkdir()
    for name, module in (("python", ""), ("pose", "-m pose"), ("celery", "-m celery")):
        script = folder / "bin" / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {module} "$@"\n')
        script.chmod(0o755)
    page = {
        "CELERY_BROKER_URL": url,
        "ARRIVALS_LIST": "pose:arrivals",
        "SCANS_URL": "s3://scans",
        "RESULTS_URL": "s3://results/pose",
    }
    world = World(folder, {**s3_server.environment, **page, "PATH": path})
    with world.start_worker() as worker:
        worker.wait_for_event("worker_ready")
        yield Site(world, url)


@pytest.fixture(scope="module")
def uploaded(site) -> Site:
    """The site after the scan `one` was uploaded with the commands of the page."""
    text = (ROOT / "docs" / "uploads.md").read_text()
    (render,) = re.findall(r"`(pose bodies [^`]*)`", text)
    upload = blocks("uploads.md", "sh")[1]
    done = site.run(f"set -e\n{render}\n{upload}")
    assert done.returncode == 0, done.stdout + done.stderr
    site.world.wait_for("one", "completed", "failed")
    return site


def test_the_addresses_are_the_settings_that_the_page_goes_on_to_use(site):
    named = set(re.findall(r"([A-Z0-9_]+)=", blocks("uploads.md", "sh")[0]))
    used = set(re.findall(r"\$([A-Z][A-Z0-9_]+)", "".join(blocks("uploads.md", "sh")[1:])))
    assert used <= named <= set(site.world.environment)


def test_a_scan_that_curl_has_uploaded_is_analysed_and_curl_gets_its_status(uploaded):
    upload, ask = blocks("uploads.md", "sh")[1:3]
    (function,) = re.findall(r"^s3\(\) \{\n.*?^\}\n", upload, flags=re.M | re.S)
    status = json.loads(uploaded.run(function + ask).stdout)
    assert (status["scan_id"], status["status"]) == ("one", "completed")


def test_the_python_of_the_page_uploads_a_scan_and_waits_for_its_verdict(uploaded):
    (script,) = blocks("uploads.md", "python")
    done = uploaded.run(f"python -c {shlex.quote(script)}")
    assert done.stdout.strip() in ("good", "usable", "repeat"), done.stderr
    assert uploaded.world.status("two")["status"] == "completed"


def test_the_notification_of_the_page_is_understood(uploaded, redis_server):
    done = uploaded.run(blocks("uploads.md", "sh")[3])
    assert done.returncode == 0, done.stderr
    with redis_server.client(8) as client:
        wait_until(lambda: not client.llen("pose:arrivals"), "the inbox to be empty")
        assert not client.exists("pose:arrivals:dead")


@pytest.mark.parametrize(
    "command",
    # Each once, in their order.
    dict.fromkeys(
        line.split("#")[0].strip() for block in blocks("operations.md", "sh") for line in block.splitlines()
    ),
)
def test_the_commands_of_operations_do_something(uploaded, command):
    done = uploaded.run(command.replace("SCAN_ID", "one"))
    assert "Traceback" not in done.stderr
    # There is no beat, which doctor finds wrong.
    assert done.returncode == (1 if "doctor" in command else 0), done.stdout + done.stderr

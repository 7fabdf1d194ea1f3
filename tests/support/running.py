"""A real worker, started as a user starts it, over the embedded default or over Redis and S3."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from worker.config.settings import Settings, read_settings
from worker.storage.base import ObjectMissing, Storage
from worker.storage.opening import open_storage

ROOT = Path(__file__).parents[2]
PATIENCE_S = 180.0  # the machine may be busy with other things


def unconfigured() -> dict[str, str]:
    """Our environment without any setting of the worker, in which Python finds the project.

    Published weights that this user has are not looked at: with nothing set, the embedded model is at work.
    """
    ours = {str(field.validation_alias) for field in Settings.model_fields.values()}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name.removesuffix("_FILE") not in ours
        and name not in ours
        and not name.startswith(("CELERY_", "AWS_"))
    }
    path = os.pathsep.join(filter(None, [kept.get("PYTHONPATH"), str(ROOT)]))
    # One thread for the model wherever it runs: a number's last bits depend on how many there are.
    threads = {"TORCH_THREADS": "1", "OMP_NUM_THREADS": "1"}
    # Tests announce complete scans, and scans that will never be.
    at_once = {"ARRIVALS_QUIET_S": "0", "INCOMPLETE_S": "0"}
    return {**kept, **threads, **at_once, "PYTHONPATH": path, "WEIGHTS_URL": "/nowhere/weights"}


def wait_until(condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S) -> Any:
    """What `condition` gives once that is true."""
    deadline = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited too long for {what}"
        time.sleep(0.05)
    return found


class World:
    """A current folder and an environment: where the worker and those who use it are."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {**unconfigured(), **(environment or {})}
        settings = read_settings(
            scans_url=self.environment.get("SCANS_URL", f"file://{folder}/scans"),
            results_url=self.environment.get("RESULTS_URL", f"file://{folder}/results"),
        )
        endpoint = self.environment.get("AWS_ENDPOINT_URL_S3")
        with pytest.MonkeyPatch.context() as patch:
            for name, value in (environment or {}).items():
                patch.setenv(name, value)  # the credentials, which S3's client reads when it is made
            self.scans: Storage = open_storage(settings.scans_url, "scans", endpoint)
            self.results: Storage = open_storage(settings.results_url, "results", endpoint)

    def put_scan(self, scan_id: str, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self.scans.write(f"{scan_id}/{name}", data, "application/octet-stream")

    def json(self, key: str) -> dict[str, Any] | None:
        """A JSON object among the results, if it is there."""
        try:
            found: dict[str, Any] = json.loads(self.results.read(key, 10**7))
        except ObjectMissing:
            return None
        return found

    def status(self, scan_id: str) -> dict[str, Any]:
        return self.json(f"{scan_id}/status.json") or {}

    def wait_for(self, scan_id: str, *statuses: str) -> dict[str, Any]:
        """The status of a scan once it is one of these."""
        found: dict[str, Any] = wait_until(
            lambda: (now := self.status(scan_id)).get("status") in statuses and now,
            f"{scan_id} to be {' or '.join(statuses)}",
        )
        return found

    def call(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m …` to its end."""
        return subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )

    def enqueue(self, *scan_ids: str) -> None:
        done = self.call("worker", "enqueue", *scan_ids)
        assert done.returncode == 0, done.stderr

    def ping(self) -> subprocess.CompletedProcess[str]:
        """`celery inspect ping`, which asks once and waits for a second, until a worker answers."""

        def answered() -> subprocess.CompletedProcess[str] | None:
            done = self.call("celery", "-A", "worker", "inspect", "ping")
            return done if "pong" in done.stdout else None

        found: subprocess.CompletedProcess[str] = wait_until(answered, "a pong")
        return found

    def start(self, *command: str, **environment: str) -> Running:
        """Start `python -m …`, or `python FILE` for a path; as `with world.start(…) as running:`."""
        return Running(command, self.folder, {**self.environment, **environment})

    def start_worker(self, *options: str, **environment: str) -> Running:
        return self.start("celery", "-A", "worker", "worker", *options, **environment)


class Running:
    """A command in a session of its own, all of which is killed when the `with` block is left."""

    def __init__(self, command: tuple[str, ...], folder: Path, environment: dict[str, str]) -> None:
        self._log = folder / f"{Path(command[-1]).name}-{time.monotonic_ns()}.log"
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, *(() if os.path.isabs(command[0]) else ("-m",)), *command],
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self.alive():
            with suppress(ProcessLookupError):  # the last one has just ended
                os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of an event."""
        # Of the last line there may be only a part yet.
        whole = self.log().rpartition("\n")[0]
        lines = (line for line in whole.splitlines() if line.startswith("{"))
        return [event for event in map(json.loads, lines) if event["event"] == name]

    def wait_for_event(self, name: str) -> dict[str, Any]:
        def found() -> list[dict[str, Any]]:
            assert self.process.poll() is None or self.events(name), f"it has ended:\n{self.log()}"
            return self.events(name)

        found_events: list[dict[str, Any]] = wait_until(found, name)
        return found_events[-1]

    def alive(self) -> list[int]:
        """The processes of its session that still do something: a zombie does not."""
        alive = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            state, session = fields[0], int(fields[3])
            if session == self.process.pid and state != "Z":
                alive.append(int(entry.name))
        return sorted(alive)

    def children(self) -> list[int]:
        return [pid for pid in self.alive() if pid != self.process.pid]

    def stop(self, signum: int = signal.SIGTERM) -> int:
        """Ask it to end; gives its exit code."""
        self.process.send_signal(signum)
        return self.process.wait(PATIENCE_S)

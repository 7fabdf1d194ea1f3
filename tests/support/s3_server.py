"""A real S3 server for tests: Ceph's radosgw over one monitor and one store in memory.

It checks signatures and checksums, which servers made for tests do not. It needs the packages `radosgw`,
`ceph-mon` and `ceph-osd`, no root, no systemd, about 250 MB of memory and three seconds to start.

`python -m tests.support.s3_server` runs one until Ctrl-C and prints how to reach it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PROGRAMS: Final = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "monmaptool")
ACCESS_KEY: Final = "testkey"
SECRET_KEY: Final = "testsecret"
START_S: Final = 120  # the machine may be busy
# Ports are taken in blocks, below those that the system gives out by itself: one of these might be given away
# while its server is stopped.
BLOCK: Final = 100
FIRST_PORT: Final = 20_000
LAST_PORT: Final = 32_000

# A cluster of one, without authentication between its parts, that keeps everything in memory.
CONFIG: Final = """
[global]
fsid = {fsid}
monmap = {folder}/monmap
public_addr = 127.0.0.1
ms_bind_msgr2 = false
ms_bind_port_min = {first_port}
ms_bind_port_max = {last_port}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
run_dir = {folder}/run
admin_socket = {folder}/run/$name.$pid.asok
log_file = {folder}/log/$name.log
crash_dir = {folder}/log
mon_cluster_log_to_file = false
mon_data = {folder}/mon
mon_data_avail_crit = 1
mon_allow_pool_size_one = true
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
osd_data = {folder}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_crush_update_on_start = false
osd_class_update_on_start = false
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
rgw_rados_pool_pg_num_min = 1
rgw_data = {folder}/run
rgw_dns_name = localhost
"""


def missing_programs() -> list[str]:
    """Those that are not in the PATH."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


class S3Server:
    """A server with one user, who may do everything. It runs within `with S3Server() as server:`.

    Given a certificate and its key, as files, it answers at `tls_endpoint` as well.
    """

    def __init__(self, certificate: Path | None = None, key: Path | None = None) -> None:
        self._certificate, self._key = certificate, key
        self._processes: list[subprocess.Popen[bytes]] = []
        # Short, whatever the tests' own folder is called: a socket's path has at most 107 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="s3-"))
        self._ports = Ports(51)
        self._port = self._ports.first
        # Of another Python's modules the system's own, which `ceph` is written in, knows nothing.
        self._environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        self._environment["CEPH_CONF"] = str(self._folder / "ceph.conf")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def tls_endpoint(self) -> str:
        return f"https://127.0.0.1:{self._port + 2}"

    @property
    def environment(self) -> dict[str, str]:
        """What a program needs to use it."""
        return {"AWS_ENDPOINT_URL_S3": self.endpoint, **keys(ACCESS_KEY, SECRET_KEY)}

    @property
    def access_log(self) -> Path:
        """Where it writes a line for each call: `… beast: … "GET /bucket/key HTTP/1.1" 200 …`."""
        return self._folder / "log" / "client.rgw.log"

    def add_user(self, name: str) -> dict[str, str]:
        """Another user, who may do nothing yet, and what a program needs to be it."""
        access, secret = f"key-of-{name}", f"secret-of-{name}"
        about = (f"--uid={name}", f"--display-name={name}", f"--access-key={access}", f"--secret={secret}")
        self._run("radosgw-admin", "user", "create", *about)
        return {**self.environment, **keys(access, secret)}

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self) -> None:
        folder = self._folder
        for name in ("run", "log", "mon", "osd"):
            (folder / name).mkdir()
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        config = CONFIG.format(
            fsid=fsid, folder=folder, first_port=self._port + 10, last_port=self._port + 50
        )
        (folder / "ceph.conf").write_text(config)
        monitor = f"[v1:127.0.0.1:{self._port + 1}]"
        self._run("monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitor, f"{folder}/monmap")
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", f"{folder}/monmap")
        self._background("ceph-mon", "-i", "a")
        self._run("ceph", "--connect-timeout", str(START_S), "osd", "new", osd)
        self._run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=h")
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._background("ceph-osd", "-i", "0")
        login = (f"--access-key={ACCESS_KEY}", f"--secret={SECRET_KEY}")
        # The capability is that of an administrator who writes down what others may do.
        about = ("--uid=test", "--display-name=test", "--caps=user-policy=*")
        self._run("radosgw-admin", "user", "create", *about, *login)
        self.start_gateway()

    def start_gateway(self) -> None:
        """Start what answers to S3; it ran already unless `stop_gateway` was called."""
        frontend = f"beast endpoint=127.0.0.1:{self._port} tcp_nodelay=1"
        if self._certificate:
            frontend += f" ssl_endpoint=127.0.0.1:{self._port + 2}"
            frontend += f" ssl_certificate={self._certificate} ssl_private_key={self._key}"
        self._background("radosgw", "-n", "client.rgw", "--rgw-frontends", frontend)
        deadline = time.monotonic() + START_S
        while not _answers(self._port):
            if self._processes[-1].poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the S3 server did not start: {self._log_tail()}")
            time.sleep(0.05)

    def stop_gateway(self) -> None:
        """Be away, and keep all objects."""
        _end(self._processes.pop())

    def stop(self) -> None:
        """End all processes and remove all files."""
        while self._processes:
            _end(self._processes.pop())
        shutil.rmtree(self._folder, ignore_errors=True)
        self._ports.release()

    def _run(self, *command: str) -> None:
        done = subprocess.run(
            command, env=self._environment, capture_output=True, timeout=START_S, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"{command[0]} failed: {done.stderr.decode(errors='replace')[-2000:]}")

    def _background(self, *command: str) -> None:
        with (self._folder / "log" / f"{command[0]}.out").open("ab") as output:
            process = subprocess.Popen(
                [*command, "-f"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=die_with_parent(),
            )
        self._processes.append(process)

    def _log_tail(self) -> str:
        return "\n".join(path.read_text(errors="replace")[-1000:] for path in self._folder.glob("log/*.out"))


def keys(access: str, secret: str) -> dict[str, str]:
    """The variables that boto3 takes them from."""
    return {"AWS_ACCESS_KEY_ID": access, "AWS_SECRET_ACCESS_KEY": secret}


def die_with_parent() -> Callable[[], None]:
    """For `preexec_fn`: a server must not outlive tests that were killed."""
    # Looked up here: after a fork little may be done, as other threads may have held any lock.
    prctl, pr_set_pdeathsig = ctypes.CDLL(None).prctl, 1
    return lambda: prctl(pr_set_pdeathsig, signal.SIGKILL)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(1)
    except subprocess.TimeoutExpired:  # nothing in it has to be kept
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Ports:
    """`count` ports in a row, from `first` on: ours alone among all runs of tests here, until `release()`.

    They are free when they are claimed. What claims them is a socket of ours, on the port before them.
    """

    def __init__(self, count: int = 1) -> None:
        start = FIRST_PORT + os.getpid() * BLOCK % (LAST_PORT - FIRST_PORT)
        for guard in [*range(start, LAST_PORT, BLOCK), *range(FIRST_PORT, start, BLOCK)]:
            claim = socket.socket()
            if _binds(claim, guard) and all(_is_free(guard + 1 + each) for each in range(count)):
                self._claim, self.first = claim, guard + 1
                return
            claim.close()
        raise RuntimeError("no free ports")

    def release(self) -> None:
        self._claim.close()


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        # As servers do it: a connection that has just ended is no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        return _binds(probe, port)


def _binds(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


if __name__ == "__main__":
    if missing := missing_programs():
        sys.exit(f"{', '.join(missing)} cannot be found: apt-get install radosgw ceph-mon ceph-osd")
    with S3Server() as server:
        print("\n".join(f"export {name}={value}" for name, value in server.environment.items()), flush=True)
        signal.sigwait({signal.SIGINT, signal.SIGTERM})

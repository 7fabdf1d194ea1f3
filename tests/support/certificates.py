"""Certificates for tests, made by the program `openssl`: of an authority, and of a server of 127.0.0.1."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import redis

from tests.support.redis_server import RedisServer

_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_EXTENSIONS = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\nbasicConstraints=CA:FALSE\n"


@dataclass(frozen=True)
class Certificates:
    """Files in PEM: of the authority, and of the server, with its key."""

    authority: Path
    server: Path
    key: Path


def make_certificates(folder: Path) -> Certificates:
    """New ones, good for two days, in a folder that is there."""

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)

    openssl(
        "req", "-x509", *_NEW_KEY, "-keyout", "ca.key", "-out", "ca.crt", "-days", "2", "-subj", "/CN=Tests"
    )
    openssl("req", *_NEW_KEY, "-keyout", "server.key", "-out", "server.csr", "-subj", "/CN=Server of tests")
    (folder / "extensions").write_text(_EXTENSIONS)
    signed_by = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    openssl("x509", "-req", "-in", "server.csr", "-out", "server.crt", *signed_by, "-extfile", "extensions")
    return Certificates(folder / "ca.crt", folder / "server.crt", folder / "server.key")


class TlsRedisServer(RedisServer):
    """One that speaks TLS only, to those who know its password."""

    def __init__(self, certificates: Certificates, password: str) -> None:
        super().__init__()
        self._certificates = certificates
        self._password = password

    def url(self, database: int = 0, host: str = "127.0.0.1", password: str | None = None) -> str:
        return f"rediss://:{password or self._password}@{host}:{self.port}/{database}"

    def client(self, database: int = 0) -> redis.Redis:
        return redis.Redis.from_url(self.url(database), ssl_ca_certs=str(self._certificates.authority))

    def _listen(self) -> list[str]:
        files = self._certificates
        tls = {
            "port": self.port,
            "cert-file": files.server,
            "key-file": files.key,
            "ca-cert-file": files.authority,
        }
        options = [word for name, value in tls.items() for word in (f"--tls-{name}", str(value))]
        return ["--port", "0", *options, "--tls-auth-clients", "no", "--requirepass", self._password]

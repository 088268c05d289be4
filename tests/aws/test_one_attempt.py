"""A call is one request, whatever the HTTP library would do by itself."""

from __future__ import annotations

import asyncio
import re

import pytest
from botocore.exceptions import BotoCoreError, HTTPClientError

from stepwell.io.aio import AsyncioTasks
from stepwell.io.aio_aws import AioAws
from stepwell.io.aws import AwsTarget, Boto3Aws
from stepwell.io.ports import Tasks


class Server:
    """Answers the first PUT, keeps the connection open, and closes it when the next one has arrived."""

    def __init__(self) -> None:
        self.arrived: list[int] = []
        self._closed = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                size = re.search(rb"(?i)\ncontent-length: (\d+)", head)
                expects = b"100-continue" in head.lower()
                if expects:
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                await reader.readexactly(int(size[1]) if size else 0)
                self.arrived.append(len(head))
                if len(self.arrived) > 1:
                    break
                writer.write(b'HTTP/1.1 200 OK\r\nETag: "1"\r\nContent-Length: 0\r\nx-amz-request-id: 1\r\n\r\n')
        except asyncio.IncompleteReadError:
            pass
        writer.close()


@pytest.mark.parametrize("adapter", [AioAws, Boto3Aws])
def test_a_put_whose_connection_is_closed_is_not_sent_again(adapter: type[AioAws | Boto3Aws]) -> None:
    async def case() -> None:
        server = Server()
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        tasks: Tasks = AsyncioTasks()
        aws = adapter(AwsTarget("s3", "eu-west-1", f"http://127.0.0.1:{port}"), tasks)
        put = {"Bucket": "bucket", "Key": "key", "Body": b"body", "IfMatch": '"0"'}
        await aws.call("put_object", **put)
        with pytest.raises((BotoCoreError, HTTPClientError)):
            await aws.call("put_object", **put)
        assert len(server.arrived) == 2
        await aws.aclose()
        listening.close()
        await listening.wait_closed()

    asyncio.run(case())

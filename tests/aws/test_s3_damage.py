"""Segments that were changed from outside: what is damaged is found, never returned, and the rest can be salvaged."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import CorruptJournal, NotFound, StaleStore
from stepwell.stores.segments import parse
from stepwell.testing import FakeClock, collected, refused
from tests.aws.moto import BUCKET, Service, client, run

pytestmark = pytest.mark.faults

SHORT = 1200


async def _written(client: AsyncClient, more: str = "") -> tuple[str, list[str]]:
    session = (await client.create_session()).session_id
    said = [f"step {at} {more}" for at in range(20)]
    for text in said:
        await client.put_invocation_step(session, session, text, create_invocation=text == said[0])
    return session, said


def _segments(service: Service) -> dict[str, bytes]:
    return {key: body for key, body in service.objects().items() if "/log/" in key}


def _in_payload(body: bytes) -> bytes:
    """One bit of the last record's payload."""
    return body[:-3] + bytes([body[-3] ^ 4]) + body[-2:]


def _in_record_header(body: bytes) -> bytes:
    at = body.index(parse(body).records()[1]) + 9
    return body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :]


def _in_segment_header(body: bytes) -> bytes:
    return body[:9] + bytes([body[9] ^ 4]) + body[10:]


def _cut(body: bytes) -> bytes:
    """Behind a whole record, so that what is left looks right."""
    return body[: len(body) - len(parse(body).records()[-1])]


@pytest.mark.parametrize("damage", [_in_payload, _in_record_header, _in_segment_header, _cut])
def test_a_damaged_segment_is_found_and_the_rest_is_salvaged(alone: Service, damage: Callable[[bytes], bytes]) -> None:
    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, said = await _written(client)
        key = sorted(_segments(alone))[1]
        s3.put_object(Bucket=BUCKET, Key=key, Body=damage(_segments(alone)[key]))
        other = alone.open_client(clock, s3=True)
        await refused(CorruptJournal, collected(partial(other.steps, session)))
        assert (await other.verify(session)).faults
        salvaged = await other.salvage(session)
        left = [step.text async for step in other.steps(salvaged.session.session_id)]
        assert len(said) - 2 <= len(left) <= len(said) - (damage is not _in_segment_header)
        assert [text for text in said if text in left] == left
        await other.aclose()

    s3 = client("s3")
    run(alone, case, s3=True, segment_bytes=SHORT)


def _in_the_middle(body: bytes) -> bytes:
    return body[: len(body) // 2] + bytes([body[len(body) // 2] ^ 4]) + body[len(body) // 2 + 1 :]


def test_of_a_compressed_segment_that_is_damaged_nothing_is_believed(alone: Service) -> None:
    """Its records are lost, and no others."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, said = await _written(client, "the p99 of checkout is four seconds; " * 10)
        keys = sorted(_segments(alone))
        assert len(keys) > 2
        lost = parse(_segments(alone)[keys[1]])
        assert len(lost.frames) > 2 * len(_segments(alone)[keys[1]])
        s3.put_object(Bucket=BUCKET, Key=keys[1], Body=_in_the_middle(_segments(alone)[keys[1]]))
        other = alone.open_client(clock, s3=True)
        await refused(CorruptJournal, collected(partial(other.steps, session)))
        assert (await other.verify(session)).faults
        salvaged = await other.salvage(session)
        left = [step.text async for step in other.steps(salvaged.session.session_id)]
        assert [text for text in said if text in left] == left
        assert len(left) >= len(said) - (lost.end - lost.first)
        await other.aclose()

    s3 = client("s3")
    run(alone, case, s3=True, segment_bytes=5000)


def test_a_segment_that_was_removed_from_outside_is_told(alone: Service) -> None:
    """As by a lifecycle rule that expires objects. Without the first segment, there is no session."""

    async def case(client: AsyncClient, clock: FakeClock) -> None:
        session, _ = await _written(client)
        keys = sorted(_segments(alone))
        s3.delete_object(Bucket=BUCKET, Key=keys[1])
        for reader in (client, alone.open_client(clock, s3=True)):
            await refused(StaleStore, collected(partial(reader.steps, session)))
            assert (await reader.verify(session)).faults
        s3.delete_object(Bucket=BUCKET, Key=keys[0])
        await refused(NotFound, alone.open_client(clock, s3=True).get_session(session))

    s3 = client("s3")
    run(alone, case, s3=True, segment_bytes=SHORT)

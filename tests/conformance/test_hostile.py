"""What bad input gets: a typed error that names the operation and shows no payload; nothing is written."""

from __future__ import annotations

import asyncio
import inspect
import logging
import uuid
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Protocol

import pytest

from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest, LimitExceeded, NotSupported
from stepwell.models import Content, Data, Image, NewStep, Text
from stepwell.testing import COLOURS, Clients, Colour, OpenStore, clients_on, collected

MARK = "payload-that-nobody-may-see"
UUID = "0198c0de-0000-7000-8000-00000000abcd"
LONE = "\ud800"
HUGE = 10_000_000
DAWN = datetime(1970, 1, 1, tzinfo=UTC)


class Place(Protocol):
    @property
    def open_store(self) -> OpenStore: ...

    def contents(self) -> object: ...


NOT_TEXT: list[Any] = [None, 7, 1.5, True, b"bytes", ["list"], {"a": "dict"}, object()]
IDS: list[Any] = [
    *NOT_TEXT,
    *("", ".", "..", "../../etc", "/", "\0" * 36, "\n", "x" * HUGE, "a" * 36, LONE * 36),
    *(UUID.upper(), UUID + "\n", "\n" + UUID, UUID[:-1] + "\0", "\u202e" + UUID, UUID[:-1] + "\uff11"),
    *(UUID.replace("-", ""), f"{{{UUID}}}", f"urn:uuid:{UUID}", uuid.UUID(UUID), UUID.encode()),
]
NAMES: list[Any] = [
    *NOT_TEXT,
    *("", ".", "..", "../../etc", "a/../b", "a/.", "\0", "a\0b", "a\nb", "\x1b[31m", "x" * 513, "x" * HUGE),
    *(LONE, "a\u202eb", "\u2066a", "a\u2028b"),
]
MAPS: list[Any] = [
    *(7, 1.5, True, "text", b"bytes", ["list"], [("a", "b")], object(), "", [], 0, False),
    *({"": MARK}, {MARK: 7}, {MARK: None}, {7: MARK}, {MARK: b"x"}, {MARK: [MARK]}, {MARK: {MARK: MARK}}),
    *({MARK: LONE}, {LONE: MARK}),
]
TOO_MUCH: list[Any] = [{MARK: MARK * (HUGE // 20)}, {f"{MARK} {at}": MARK for at in range(9_000)}]
WRONG_BLOCKS: list[Any] = [None, 7, b"bytes", ["nested"], {"text": MARK}, object(), "", MARK + LONE]
CONTENTS: list[Any] = [
    *(None, 7, True, b"bytes", bytearray(b"bytes"), object(), {"text": MARK}, {MARK}, iter([MARK])),
    *("", MARK + LONE, [], ()),
    *([MARK, block] for block in WRONG_BLOCKS),
]
TIMES: list[Any] = [
    *("yesterday", [], {}, object(), 1e300, float("nan"), b"bytes", "x" * 1000),
    *(DAWN - timedelta(microseconds=1), datetime(1, 1, 1), datetime.min.replace(tzinfo=timezone(timedelta(hours=9)))),  # noqa: DTZ001
    datetime.max.replace(tzinfo=timezone(timedelta(hours=-9))),
]
LENGTHS: list[Any] = [*NOT_TEXT, "30d", timedelta(0), timedelta(seconds=-1), timedelta(microseconds=1), timedelta.max]
POSITIONS: list[Any] = [
    *(7, 1.5, True, b"1.0", ["1.0"], (1, 0), object()),
    *("", ".", "..", "1", "1.", ".1", "-1.0", "1.-1", "+1.0", "1.0.0", "a.b", " 1.0", "1.0\n", "1_0.0"),
    *("\u0661.\u0660", "\u00b2.0", "1e3.0", LONE, "\0", "9" * 11 + ".0", "1" * HUGE),
]
PAGE_TOKENS: list[Any] = [
    7,
    True,
    b"bytes",
    ["list"],
    object(),
    "",
    "x",
    "=",
    "\0",
    LONE,
    "\u00e9",
    UUID,
    "A" * 3_000,
    "A" * HUGE,
]
OUTCOME_TOKENS: list[Any] = [None, *PAGE_TOKENS, "kA", "lKNmb2_EEAAAAAAAAAAAAAAAAAAAAAAAAAA"]


def _new(**members: Any) -> NewStep:
    return NewStep(content=Text(text=MARK), **members)


BATCHES: list[Any] = [
    *(None, 7, True, "text", b"bytes", object(), iter([MARK]), {MARK: MARK}, {MARK}, [], (), [MARK] * 251),
    *([MARK, content] for content in CONTENTS if content not in ((), [])),
    *([MARK, _new(invocation_step_id=id_)] for id_ in IDS if isinstance(id_, str)),
    *([MARK, _new(invocation_step_time=time)] for time in TIMES if isinstance(time, datetime)),
    [_new(invocation_step_id=UUID), _new(invocation_step_id=UUID)],
    [MARK, NewStep(content=())],
]

FLAGS: list[Any] = [None, 0, 1, "", "false", b"x", [], object()]
WHY: list[Any] = [*NOT_TEXT, LONE, MARK * 100, "x" * HUGE]

ARGUMENTS: Mapping[str, list[Any]] = {
    "after": POSITIONS,
    "approver": WHY,
    "at": POSITIONS,
    "before": POSITIONS,
    "content": CONTENTS,
    "created_after": [*TIMES[:-1], 7, "2031-01-01", date(2031, 1, 1)],
    "deleted": FLAGS,
    "description": [*NOT_TEXT, "", MARK + LONE, MARK * (HUGE // 20)],
    "dry_run": FLAGS,
    "end": FLAGS,
    "encryption_key_arn": [*NOT_TEXT, "", MARK, "x" * HUGE],
    "if_head": POSITIONS,
    "invocation_id": IDS,
    "invocation_step_id": IDS,
    "invocation_step_time": TIMES,
    "key": NAMES,
    "key_prefix": [*NOT_TEXT, LONE],
    "limit": [-1, 1.5, float("nan"), "3", b"3", [], object()],
    "max_results": [0, -1, 1001, 10**30, 1.5, float("nan"), "10", None, [], object()],
    "metadata": [*MAPS, *TOO_MUCH],
    "next_token": PAGE_TOKENS,
    "on_progress": [7, "print", b"print", [], object()],
    "purge_after": LENGTHS,
    "reason": WHY,
    "resource_arn": IDS,
    "retention": LENGTHS,
    "session_id": [*IDS, "arn:" + UUID, f"arn:aws:bedrock:us-east-1:000000000000:session/{UUID}\n"],
    "status": [7, True, "", "active", "BOGUS", b"ACTIVE", [], object()],
    "steps": BATCHES,
    "tag_keys": [None, 7, True, "text", b"bytes", object(), [], [7], [None], [b"x"], [MARK, LONE]],
    "tags": [*MAPS, *TOO_MUCH],
    "timeout": ["3", b"3", [], object(), float("nan")],
    "token": OUTCOME_TOKENS,
    "until": [*TIMES, 7, "2031-01-01", date(2031, 1, 1)],
}
"""What is wrong for an argument, by its name: it means the same in every method."""

TRUTHS = {"create_invocation", "reverse"}
"""For these any value is true or false, as everywhere in Python."""
HARMLESS = {"sessions": TOO_MUCH}
"""A filter that nothing passes is none that is refused."""

SESSION, ENDED, INVOCATION, KEY = "session", "ended", "invocation", "key"
CALLS: Mapping[str, Mapping[str, Any]] = {
    "create_session": {},
    "open_session": {"key": "new"},
    "get_session": {"session_id": SESSION},
    "update_session": {"session_id": SESSION, "metadata": {}},
    "end_session": {"session_id": SESSION},
    "delete_session": {"session_id": SESSION, "end": True},
    "undelete": {"session_id": SESSION},
    "extend_retention": {"session_id": SESSION, "until": datetime(2040, 1, 1, tzinfo=UTC)},
    "list_sessions": {},
    "sessions": {},
    "create_invocation": {"session_id": SESSION},
    "list_invocations": {"session_id": SESSION},
    "put_invocation_step": {"session_id": SESSION, "invocation_id": INVOCATION, "content": MARK},
    "put_invocation_steps": {"session_id": SESSION, "invocation_id": INVOCATION, "steps": [MARK]},
    "get_invocation_step": {"session_id": SESSION, "invocation_id": INVOCATION, "invocation_step_id": INVOCATION},
    "list_invocation_steps": {"session_id": SESSION, "invocation_id": INVOCATION},
    "steps": {"session_id": SESSION},
    "tail": {"session_id": ENDED},
    "tag_resource": {"resource_arn": SESSION, "tags": {"a": MARK}},
    "untag_resource": {"resource_arn": SESSION, "tag_keys": [MARK]},
    "list_tags_for_resource": {"resource_arn": SESSION},
    "lease": {"session_id": SESSION},
    "fork": {"session_id": SESSION},
    "redact": {
        "session_id": SESSION,
        "invocation_id": INVOCATION,
        "invocation_step_id": INVOCATION,
        "reason": "asked for",
    },
    "trim": {"session_id": SESSION, "before": "0.0"},
    "audit_records": {"session_id": SESSION},
    "gc": {},
    "verify": {"session_id": SESSION},
    "salvage": {"session_id": SESSION},
    "resolve": {"token": ""},
    "ping": {},
}
"""A call of each method that would succeed."""


def _operations() -> set[str]:
    functions = inspect.getmembers(AsyncClient, inspect.isfunction)
    return {name for name, _ in functions if not name.startswith("_")} - {"aclose", "handle"}


def _arguments(method: str) -> Mapping[str, inspect.Parameter]:
    parameters = inspect.signature(getattr(AsyncClient, method)).parameters
    return {name: parameter for name, parameter in parameters.items() if name != "self"}


BY_KEYWORD = inspect.Parameter("any", inspect.Parameter.KEYWORD_ONLY)
PAIRS = [(method, name) for method in CALLS for name in _arguments(method) if name not in TRUTHS]


def test_every_argument_of_every_method_has_its_bad_values() -> None:
    assert set(CALLS) == _operations()
    assert {name for _, name in PAIRS} == set(ARGUMENTS)


def _bad_values(method: str, argument: str) -> Iterator[Any]:
    optional = _arguments(method)[argument].default is None
    for bad in ARGUMENTS[argument]:
        if not (bad is None and optional) and bad not in HARMLESS.get(method, []):
            yield bad


async def _scene(client: AsyncClient) -> dict[str, str]:
    session = (await client.create_session(key="there", metadata={"m": MARK}, tags={"t": MARK})).session_id
    invocation = (await client.create_invocation(session, description=MARK)).invocation_id
    content: Content = [MARK, Image(format="png", data=b"\x89PNG"), Data(data=MARK.encode())]
    await client.put_invocation_step(session, invocation, content, invocation_step_id=invocation)
    ended = (await client.create_session()).session_id
    await client.end_session(ended)
    return {SESSION: session, ENDED: ended, INVOCATION: invocation}


async def _call(client: AsyncClient, method: str, arguments: Mapping[str, Any]) -> None:
    called = getattr(client, method)
    await (called(**arguments) if inspect.iscoroutinefunction(called) else collected(called, **arguments))


def _fault(method: str, error: Exception) -> str | None:
    """What is wrong with how a bad value was refused."""
    if not isinstance(error, InvalidRequest | LimitExceeded | NotSupported):
        return f"{type(error).__name__}: {error}"
    if error.operation != method:
        return f"names the operation {error.operation}"
    told = f"{error} {error!r} {vars(error)} {error.__cause__!r}"
    if MARK in told:
        return "shows the payload"
    return "is too long" if len(told) > 1000 else None


async def _faults(clients: Clients, method: str, argument: str, place: Place) -> str:
    client = clients.open()
    scene = await _scene(client)
    call = {name: scene.get(value, value) if isinstance(value, str) else value for name, value in CALLS[method].items()}
    if argument == "key" and _arguments(method).get("session_id", BY_KEYWORD).default is None:
        del call["session_id"]
    before = place.contents()
    faults: list[str] = []
    for bad in _bad_values(method, argument):
        fault: str | None = "is accepted"
        try:
            await _call(client, method, call | {argument: bad})
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            fault = _fault(method, error)
        if (after := place.contents()) != before:
            before, fault = after, f"{fault or 'was refused'}, and something was written"
        if fault is not None:
            faults.append(f"{bad!r:.60} {fault}")
    return "\n".join(faults)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(("method", "argument"), PAIRS)
def test_bad_input_is_refused_and_nothing_is_written(
    method: str, argument: str, place: Place, colour: Colour, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> str:
        clients = Clients(clients_on(place.open_store, colour), colour)
        try:
            return await _faults(clients, method, argument, place)
        finally:
            await clients.aclose()

    with caplog.at_level(logging.DEBUG):
        assert asyncio.run(check()) == ""
    assert MARK not in caplog.text

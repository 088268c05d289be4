"""What a client or a model is not to be made of: a typed error that shows no payload, and nothing is made on disk."""

from __future__ import annotations

import asyncio
import inspect
import warnings
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from stepwell import models
from stepwell.client import AsyncClient
from stepwell.errors import InvalidRequest, NotSupported, StepwellError
from stepwell.io.ports import Ports
from stepwell.limits import Limits
from stepwell.models import Data, Image, Model, NewStep, Text
from stepwell.stores.base import JournalStore
from stepwell.stores.memory import MemoryStore
from stepwell.sync import Client

MARK = "payload-that-nobody-may-see"
LONE = "\ud800"
HUGE = "x" * 10_000_000

URLS: list[Any] = [
    *("", ".", "..", "../../etc", "/absolute", "no-scheme", "\0", ":", ":memory:", HUGE, LONE, 7, b"memory:"),
    *("FILE:./x", "http://example.org/x", "file+ssh://x/y", "x:./y"),
    *("file:", "file://", "file:\n", "file:./a\0b", "file:./a%00b", "file:" + HUGE, "file:./" + LONE),
    *("file://host/dir", "file://[::1/dir", "file://user@/dir", "file:~nobody-of-this-name/dir"),
    *("file:./a?x", "file:./a?x=1", "file:./a?network=2", "file:./a?network=1&network=1"),
    *("file:./a?tenant=", "file:./a?tenant=../b", "file:./a?tenant=a&tenant=b", "file:./a?tenant=%ff"),
    *("memory:/", "memory://", "memory:/a", "memory:a/b", "memory:%00", "memory:a%0ab", "memory:" + LONE),
    *("memory:?tenant=a&tenant=a", "memory:?network=1", "memory:\u202ea"),
    *("dynamodb:", "dynamodb:table", "dynamodb://", "dynamodb://t", "dynamodb://table/x", "dynamodb://ta%20ble"),
    *("dynamodb://table?network=1", "dynamodb://table?ttl=0s", "dynamodb://table?ttl=99999w", "dynamodb://table?ttl="),
    *("s3://bucket--euw1-az1--x-s3/prefix", "bedrock://us-west-2"),
]
BROUGHT: list[Any] = [7, "session", b"client", [7], ["x"], {"a": 1}, object(), Text(text=MARK), int]
TENANTS: list[Any] = [
    *("", ".", "..", "../x", "a/../b", " ", " a", "-a", "a b", "\0", "a\0", "a\n", "\u00e9", "\u202ea", LONE),
    *("x" * 129, HUGE, 7, 0, False, b"x", ["x"], object()),
]
NO_LIMITS: list[Any] = ["bedrock", 7, {}, object()]
BAD_LIMITS: list[dict[str, Any]] = [
    *({"idle_timeout": time} for time in (timedelta(seconds=-1), timedelta(0), timedelta(microseconds=1), 3600)),
    *({"retention": time} for time in (timedelta(days=-1), timedelta(0), timedelta.max, 30)),
    *({"idle_timeout": timedelta(seconds=2**32)}, {"steps_per_session": "1000"}, {"metadata_entries": 1.5}),
]
LINGERS: list[Any] = [-1, -0.001, float("nan"), float("inf"), "1", b"1"]

OPENERS: list[Callable[..., Any]] = [Client, AsyncClient]


def use(open_client: Callable[..., Any], *args: Any, **members: Any) -> None:
    """Make a client and write with it: what is wrong has to be told by then."""
    client = open_client(*args, **members)
    if isinstance(client, Client):
        with client:
            client.create_invocation(client.create_session(metadata={"a": "b"}).session_id)
        return

    async def write() -> None:
        async with client:
            session = await client.create_session(metadata={"a": "b"})
            await client.create_invocation(session.session_id)

    asyncio.run(write())


def use_limits(members: Mapping[str, Any]) -> None:
    use(Client, "memory:", limits=Limits(**members))


def open_memory(ports: Ports) -> JournalStore:
    return MemoryStore()


def refusal(call: Callable[[], object]) -> str | None:
    """How a call is refused in another way than it should; None if it is as it should."""
    try:
        call()
    except (InvalidRequest, NotSupported) as error:
        told = f"{error} {error!r} {vars(error)} {error.__cause__!r}"
        return "too long" if len(str(error)) > 500 else "shows the payload" if MARK in told else None
    except Exception as error:  # noqa: BLE001 - whatever it is, it is told
        return f"{type(error).__name__}: {error}"
    return "accepted"


def faults(calls: Mapping[str, Callable[[], object]]) -> str:
    return "\n".join(f"{name:.60}: {fault}" for name, call in calls.items() if (fault := refusal(call)))


@pytest.mark.parametrize("open_client", OPENERS)
def test_a_bad_url_is_refused_with_what_would_be_right(
    open_client: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert faults({repr(url): partial(use, open_client, url) for url in URLS}) == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("open_client", OPENERS)
@pytest.mark.parametrize(("member", "values"), [("tenant", TENANTS), ("limits", NO_LIMITS)])
def test_a_bad_member_of_a_client_is_refused(open_client: Callable[..., Any], member: str, values: list[Any]) -> None:
    calls = {repr(bad): partial(use, open_client, "memory:", **{member: bad}) for bad in values}
    assert faults(calls) == ""


def test_limits_that_cannot_hold_are_refused() -> None:
    calls = {repr(bad): partial(use_limits, bad) for bad in BAD_LIMITS}
    assert faults(calls) == ""


@pytest.mark.parametrize("open_client", OPENERS)
@pytest.mark.parametrize("member", ["boto3_session", "boto3_client", "botocore_config"])
@pytest.mark.parametrize("url", ["memory:", "dynamodb://table"])
def test_what_boto3_does_not_make_is_refused(open_client: Callable[..., Any], member: str, url: str) -> None:
    assert faults({repr(bad): partial(open_client, url, **{member: bad}) for bad in BROUGHT}) == ""


@pytest.mark.parametrize("open_client", OPENERS)
def test_a_linger_that_is_no_short_time_is_refused_at_once(open_client: Callable[..., Any]) -> None:
    assert faults({repr(bad): partial(open_client, "memory:", linger=bad) for bad in LINGERS}) == ""


@pytest.mark.parametrize("open_client", OPENERS)
def test_a_bad_tenant_of_a_store_of_ones_own_is_refused(open_client: Any) -> None:
    calls = {repr(bad): partial(use, open_client.from_store, open_memory, tenant=bad) for bad in TENANTS}
    assert faults(calls) == ""


def test_a_folder_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with Client(f"file:{tmp_path}/{'x' * 300}") as client, pytest.raises(StepwellError) as refused:
        client.ping()
    assert isinstance(refused.value.__cause__, OSError)
    assert list(tmp_path.iterdir()) == []


NOT_BYTES: list[Any] = [7, True, [1], {"a": 1}, object(), MARK, None]
TEXTS: list[Any] = ["", MARK + LONE, MARK.encode(), 7, None, [MARK], {MARK: MARK}, object()]
NO_TIMES: list[Any] = ["yesterday", "2031-05-04T12:00:00Z", 7, 1e300, [], date(2031, 5, 4)]
MODELS: list[tuple[type[Model], dict[str, Any]]] = [
    *((Text, {"text": text}) for text in TEXTS),
    *((Text, {}), (Text, {"text": "x", "type": "image"}), (Text, {"text": "x", "more": MARK})),
    (Text, {"text": "x", HUGE: MARK}),
    *((Image, {"format": kind, "data": b"x"}) for kind in ("bmp", "PNG", "", MARK, None, 7, b"png")),
    *((Image, {"format": "png", "data": data}) for data in [*NOT_BYTES, b""]),
    (Image, {"format": "png", "data": b"x", "s3_uri": "s3://bucket/x"}),
    *(
        (Image, {"format": "png", "s3_uri": uri})
        for uri in (
            *("", "s3://", "s3://bucket", "s3://bucket/", "http://bucket/x", "s3://BUCKET/x", "s3://b/x"),
            *("s3://bucket/x\n", "\ns3://bucket/x", "s3://bucket/" + "x" * 1024, "s3://" + HUGE, b"s3://bucket/x", 7),
            "s3://bucket/" + LONE,
        )
    ),
    *((Data, {"data": data}) for data in NOT_BYTES),
    *((Data, {"data": b"x", "media_type": kind}) for kind in ("", "x", "x/", "/x", "a/b\n", "\u00e9/b", "a/b\0", 7)),
    (Data, {"data": b"x", "media_type": "a/" + "b" * 254}),
    *((NewStep, {"content": content}) for content in (7, b"x", None, {"text": MARK}, [MARK, 7], object())),
    *((NewStep, {"content": "x", "invocation_step_id": id_}) for id_ in (7, b"x", [MARK], object())),
    *((NewStep, {"content": "x", "invocation_step_time": time}) for time in NO_TIMES),
    (NewStep, {"content": "x", "more": MARK}),
    (NewStep, {}),
]


@pytest.mark.parametrize("made", ["called", "validated"])
def test_a_block_that_is_none_is_refused_however_it_is_made(made: str) -> None:
    calls = {
        f"{model.__name__} {repr(members)[:40]}": partial(model.model_validate, members)
        if made == "validated"
        else partial(_made, model, members)
        for model, members in MODELS
    }
    assert faults(calls) == ""


def _made(model: type[Model], members: Mapping[str, Any]) -> Model:
    return model(**members)


def test_a_file_that_is_no_image_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"x", MARK.encode(), b"\x89PNG", b"RIFF1234WAVE", b"BM"):
        (tmp_path / "picture.png").write_bytes(content)
        assert refusal(lambda: Image.from_file(tmp_path / "picture.png")) is None


def _example(model: type[Model]) -> Model:
    """A model whose every text and byte is the payload."""
    noon = datetime(2031, 5, 4, 12, tzinfo=UTC)
    values: dict[str, Any] = {
        "content": (Text(text=MARK), Data(data=MARK.encode())),
        "data": MARK.encode(),
        "epoch": 1,
        "format": "png",
        "items": (MARK,),
        "media_type": "a/b",
        "outcome": "absent",
        "s3_uri": None,
        "session_status": "ACTIVE",
        "slot": 1,
        "type": model.__name__.lower(),
        **dict.fromkeys(("text", "description"), MARK),
        **{name: {MARK: MARK} for name in ("metadata", "tags")},
        **dict.fromkeys(("created_at", "last_updated_at", "last_activity_at", "invocation_step_time"), noon),
        **dict.fromkeys(("expires_at", "purge_after", "until", "time"), noon),
        **dict.fromkeys(("records", "steps", "blobs", "blocks", "place"), 1),
        **dict.fromkeys(("remains", "faults"), ()),
        "operation": "purge",
    }
    if model is models.Salvaged:
        values["session"] = _example(models.Session)
    if model is models.GcReport:
        return model(dry_run=False)
    return model(**{name: values.get(name, "shown") for name in model.model_fields if name != "unfinished"})


def test_no_model_shows_a_payload() -> None:
    shown = [
        model
        for _, model in inspect.getmembers(models, inspect.isclass)
        if issubclass(model, Model) and model.__module__ == models.__name__ and model.model_fields
    ]
    assert {Text, Image, Data, NewStep, models.Session, models.InvocationStep} <= set(shown)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        told = [f"{_example(model)!r} {_example(model)!s}" for model in shown if model is not models.Page]
        told.append(f"{NewStep(content=MARK)!r} {NewStep(content=[MARK])!r}")
    assert [text for text in told if MARK in text] == []

"""What a step is made of comes back as it was, whatever it holds and however large it is."""

from __future__ import annotations

from hashlib import shake_128

from stepwell.client import AsyncClient
from stepwell.models import Data, Image, ImageFormat, Text
from stepwell.testing.bench import Clients, collected

FORMATS: tuple[ImageFormat, ...] = ("png", "jpeg", "gif", "webp")

TEXTS = (
    "x",
    " ",
    "\0",
    "a\0b\0",
    "\0" * 5_000,
    "line\nline\r\nline\u2028line",
    "tab\tbell\a escape\x1b[31m delete\x7f",
    "\u05e9\u05dc\u05d5\u05dd \u202eright to left\u202c \u2066isolated\u2069",
    "\ufeffbyte order mark \ufffe \uffff \U0010ffff",
    "composed \u00e9, decomposed e\u0301, ligature \ufb01",
    "\N{ROCKET}\N{WOMAN}\u200d\N{PERSONAL COMPUTER} \N{REGIONAL INDICATOR SYMBOL LETTER A}",
    '{"json": [1, "\\u0000"]} <xml/> \'; DROP TABLE steps; -- %s %00 ${x}',
    "the same words again and again " * 3_000,
    "\N{ROCKET}" * 30_000,
)


def _noise(size: int, seed: str = "") -> bytes:
    return shake_128(f"{seed} {size}".encode()).digest(size)


DATA = (
    b"",
    b"\0",
    b"\0" * 255,
    b"\0" * 256,
    b"\0" * 511 + b"\1",
    b"\0" * 100_000,
    _noise(400) + bytes(600) + _noise(400),
    _noise(100) + bytes(2_048),
    bytes(2_048) + _noise(100),
    bytes(range(256)) * 20,
    b"\xff" * 1_000,
    b"sw\x01\x00" + bytes(300) + b"sw\x01\x00",
    _noise(70_000),
    _noise(300_000),
)


async def _begun(client: AsyncClient) -> tuple[str, str]:
    session = (await client.create_session()).session_id
    return session, (await client.create_invocation(session)).invocation_id


async def _comes_back(clients: Clients, *contents: tuple[Text | Image | Data, ...]) -> None:
    client = clients.open()
    session, invocation = await _begun(client)
    put = [await client.put_invocation_step(session, invocation, content) for content in contents]
    assert [step.content for step in put] == list(contents)
    found = await collected(clients.open().steps, session)
    for step, content in zip(found, contents, strict=True):
        assert step.content == content
    for step in put:
        assert await client.get_invocation_step(session, invocation, step.invocation_step_id) == step


async def text_of_any_kind_comes_back(clients: Clients) -> None:
    """Control characters, any script and direction, unassigned code points; nothing is normalised."""
    await _comes_back(clients, *((Text(text=text),) for text in TEXTS))


async def bytes_of_any_kind_come_back(clients: Clients) -> None:
    """None at all, zeros, runs of zeros, what compresses and what does not."""
    await _comes_back(clients, *((Data(data=data),) for data in DATA))


async def images_of_every_format_come_back(clients: Clients) -> None:
    """As bytes or as a pointer, which is kept and not followed."""
    await _comes_back(
        clients,
        *((Image(format=kind, data=_noise(900, kind) + bytes(700)),) for kind in FORMATS),
        *((Image(format=kind, s3_uri=f"s3://a-bucket/{kind} a/\u00e9"),) for kind in FORMATS),
    )


async def media_types_come_back(clients: Clients) -> None:
    """The default one and any other."""
    kinds = ("application/octet-stream", "application/json; charset=utf-8", "a/b", "x/" + "y" * 253)
    await _comes_back(clients, *((Data(media_type=kind, data=b"{}"),) for kind in kinds))


async def blocks_of_all_kinds_come_back_in_order(clients: Clients) -> None:
    """Many in one step, the same one more than once."""
    image = Image(format="webp", data=_noise(2_000))
    blocks = (Text(text="one"), image, Data(data=b""), Text(text="one"), image, Data(media_type="a/b", data=b"x"))
    await _comes_back(clients, blocks, blocks * 20)


async def text_joins_the_text_blocks_of_a_step(clients: Clients) -> None:
    """By newlines; a step without any has empty text."""
    client = clients.open()
    session, invocation = await _begun(client)
    mixed = await client.put_invocation_step(session, invocation, ["one", Data(data=b"x"), "two"])
    none = await client.put_invocation_step(session, invocation, Data(data=b"x"))
    assert (mixed.text, none.text) == ("one\ntwo", "")


async def a_step_of_twenty_images_comes_back(clients: Clients) -> None:
    """2 MB in one step."""
    await _comes_back(clients, tuple(Image(format="jpeg", data=_noise(100_000, str(at))) for at in range(20)))


async def a_block_of_five_megabytes_comes_back(clients: Clients) -> None:
    """Bytes that do not compress, and text that does."""
    await _comes_back(clients, (Data(data=_noise(5_000_000)),), (Text(text="all the same " * 400_000),))


async def many_small_blocks_come_back(clients: Clients) -> None:
    """More than fit into one record as they are."""
    await _comes_back(clients, tuple(Data(data=_noise(1_500, str(at))) for at in range(400)))


async def a_batch_of_large_steps_comes_back(clients: Clients) -> None:
    """All in one write."""
    client = clients.open()
    session, invocation = await _begun(client)
    contents: list[list[str | Data]] = [[f"step {at}", Data(data=_noise(60_000, str(at)))] for at in range(20)]
    put = await client.put_invocation_steps(session, invocation, contents)
    assert len({step.slot for step in put}) == 1
    assert await collected(clients.open().steps, session) == list(put)
    assert [[step.text, *step.content[1:]] for step in put] == contents


async def metadata_tags_and_descriptions_of_any_kind_come_back(clients: Clients) -> None:
    """Zeros, line breaks and any script; an empty value is one."""
    client = clients.open()
    odd = {text: text for text in TEXTS if len(text) < 100} | {"zeros": "\0" * 3_000, "empty": ""}
    made = await client.create_session(metadata=odd, tags=odd)
    assert (made.metadata, made.tags) == (odd, odd)
    assert await clients.open().get_session(made.session_id) == made
    assert await client.list_tags_for_resource(made.session_arn) == odd
    assert (await client.update_session(made.session_id, odd)).metadata == odd
    for text in odd:
        invocation = await client.create_invocation(made.session_id, description=text)
        assert invocation.description == text

"""Models as JSON documents: their members under their names, and bytes as base64 where they are asked for."""

from __future__ import annotations

import base64
from typing import Any

from stepwell.models import ContentBlock, Data, Image, InvocationStep, Model, Text


def document(model: Model) -> dict[str, Any]:
    """The members of a model that holds no content."""
    return model.model_dump(mode="json")


def step_document(step: InvocationStep, *, content: bool) -> dict[str, Any]:
    """A step; with *content* the bytes of its blocks are there too."""
    members = step.model_dump(mode="json", exclude={"content"})
    return members | {"content": [_block(block, content=content) for block in step.content]}


def _block(block: ContentBlock, *, content: bool) -> dict[str, Any]:
    match block:
        case Text():
            return {"type": block.type, "text": block.text}
        case Image(s3_uri=str(uri)):
            return {"type": block.type, "format": block.format, "s3_uri": uri}
        case Image():
            return {"type": block.type, "format": block.format} | _bytes(block.data or b"", content=content)
        case Data():
            return {"type": block.type, "media_type": block.media_type} | _bytes(block.data, content=content)
        case _:
            return {"type": "redacted"}


def _bytes(data: bytes, *, content: bool) -> dict[str, Any]:
    size: dict[str, Any] = {"size": len(data)}
    return size | ({"data": base64.b64encode(data).decode()} if content else {})

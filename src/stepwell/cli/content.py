"""Content in a few words, for people."""

from __future__ import annotations

from collections.abc import Iterable

from stepwell.cli.terminal import excerpt, size
from stepwell.models import ContentBlock, Data, Image, InvocationStep, Text


def size_of(block: ContentBlock) -> int:
    """How many bytes a block holds."""
    match block:
        case Text():
            return len(block.text.encode())
        case Image() | Data():
            return len(block.data or b"")
        case _:
            return 0


def described(step: InvocationStep, most: int = 72) -> str:
    """What a step holds, in one printable line: how much of what, and how its first text begins."""
    return "  ".join(_described(step.content, most))


def _described(blocks: Iterable[ContentBlock], most: int) -> Iterable[str]:
    for block in blocks:
        match block:
            case Text():
                yield f'{size(size_of(block))} "{excerpt(block.text, most)}"'
            case Image(s3_uri=str(uri)):
                yield f"[{block.format} at {excerpt(uri)}]"
            case Image():
                yield f"[{block.format} {size(size_of(block))}]"
            case Data():
                yield f"[{excerpt(block.media_type)} {size(size_of(block))}]"
            case _:
                yield "[redacted]"

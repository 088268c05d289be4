"""Writes bedrock_agent_runtime.pyi, the session operations of Amazon Bedrock, from the service model inside botocore.

- Operation, Shape: what is read of the model, as it is there.
- stub: the text for a model. It holds shapes, limits and error names, no prose: reworded documentation changes nothing.

Names are the model's, so that they can be looked up; those of methods are boto3's.
A model without one of the operations, or with a type of shape that none of them has today, is a KeyError.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator
from importlib.resources import files
from pathlib import Path
from typing import NotRequired, TypedDict

SERVICE = "bedrock-agent-runtime"
STUB = Path(__file__).with_name("bedrock_agent_runtime.pyi")
OPERATIONS = (
    "CreateSession",
    "GetSession",
    "UpdateSession",
    "EndSession",
    "DeleteSession",
    "ListSessions",
    "CreateInvocation",
    "ListInvocations",
    "PutInvocationStep",
    "GetInvocationStep",
    "ListInvocationSteps",
    "TagResource",
    "UntagResource",
    "ListTagsForResource",
)
SCALARS = {"blob": "bytes", "integer": "int", "string": "str", "timestamp": "datetime"}

HEADER = """\
# Made by generate.py from botocore's service model: change that, not this.
#
# Limits stand above the type that they bind: min and max bound a number, or count characters, entries or bytes; a line
# of its own is a pattern. Types cannot state them; the service refuses what breaks them with a ValidationException.
# boto3 takes more forms of times and bytes than are named here. Those named are what it returns, and mean one thing.
#
# A pattern is left whole, however long it is.
# ruff: noqa: E501

from datetime import datetime
from typing import Literal, NotRequired, Protocol, TypeAlias, TypedDict
"""
# botocore adds this to every response; no service's model has it.
METADATA = """\
class Metadata(TypedDict):
    RequestId: str
    HTTPStatusCode: int
    HTTPHeaders: dict[str, str]
    RetryAttempts: int
"""


class Ref(TypedDict):
    shape: str


class Shape(TypedDict):
    type: str
    members: NotRequired[dict[str, Ref]]
    required: NotRequired[list[str]]
    union: NotRequired[bool]
    member: NotRequired[Ref]
    key: NotRequired[Ref]
    value: NotRequired[Ref]
    enum: NotRequired[list[str]]
    min: NotRequired[int]
    max: NotRequired[int]
    pattern: NotRequired[str]


class Operation(TypedDict):
    input: Ref
    output: Ref
    errors: list[Ref]


class Model(TypedDict):
    operations: dict[str, Operation]
    shapes: dict[str, Shape]


def installed() -> Model:
    """The newest model of the service in the botocore that is installed."""
    versions = (files("botocore") / "data" / SERVICE).iterdir()
    newest = max((version for version in versions if version.is_dir()), key=lambda version: version.name)
    model: Model = json.loads(gzip.decompress((newest / "service-2.json.gz").read_bytes()))
    return model


def stub(model: Model) -> str:
    shapes = model["shapes"]
    operations = {name: model["operations"][name] for name in OPERATIONS}
    requests = [operation["input"]["shape"] for operation in operations.values()]
    responses = [operation["output"]["shape"] for operation in operations.values()]
    types = [name for name in reached(shapes, [*requests, *responses]) if name not in requests]
    aliases = [alias(name, shapes[name]) for name in sorted(types) if shapes[name]["type"] != "structure"]
    inner = [structure(name, shapes) for name in types if shapes[name]["type"] == "structure" and name not in responses]
    outer = [structure(name, shapes, response=True) for name in responses]
    clients = [
        protocol("BedrockAgentRuntimeClient", "def", operations, shapes),
        protocol("AsyncBedrockAgentRuntimeClient", "async def", operations, shapes),
    ]
    return "\n".join([HEADER, "".join(aliases), METADATA, *inner, *outer, *clients])


def reached(shapes: dict[str, Shape], names: Iterable[str]) -> list[str]:
    """These shapes and all that they are made of, each before what it is used in."""
    found: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in found:
            for ref in parts(shapes[name]):
                visit(ref["shape"])
            found[name] = None

    for name in names:
        visit(name)
    return list(found)


def parts(shape: Shape) -> Iterator[Ref]:
    yield from (ref for ref in (shape.get("member"), shape.get("key"), shape.get("value")) if ref)
    yield from (ref for _, ref in sorted(shape.get("members", {}).items()))


def alias(name: str, shape: Shape) -> str:
    return f"{limits(shape)}{name}: TypeAlias = {meaning(shape)}\n"


def meaning(shape: Shape) -> str:
    if "enum" in shape:
        return f"Literal[{', '.join(json.dumps(value) for value in sorted(shape['enum']))}]"
    if "member" in shape:
        return f"list[{shape['member']['shape']}]"
    if "key" in shape and "value" in shape:
        return f"dict[{shape['key']['shape']}, {shape['value']['shape']}]"
    return SCALARS[shape["type"]]


def limits(shape: Shape) -> str:
    bounds = (("min", shape.get("min")), ("max", shape.get("max")))
    stated = ", ".join(f"{name} {bound}" for name, bound in bounds if bound is not None)
    return (f"# {stated}\n" if stated else "") + (f"# {shape['pattern']}\n" if "pattern" in shape else "")


def structure(name: str, shapes: dict[str, Shape], *, response: bool = False) -> str:
    shape = shapes[name]
    lines = [f"class {name}(TypedDict):"]
    lines += ["    # exactly one member"] if shape.get("union") else []
    for member, kind, required in members(shape):
        lines.append(f"    {member}: {kind if required else f'NotRequired[{kind}]'}")
    lines += ["    ResponseMetadata: Metadata"] if response else []
    return "\n".join(lines) + "\n"


def members(shape: Shape) -> list[tuple[str, str, bool]]:
    """Name, type and whether it is required; those that are come first."""
    required = shape.get("required", [])
    named = shape.get("members", {})
    return [
        (name, named[name]["shape"], name in required) for name in sorted(named, key=lambda n: (n not in required, n))
    ]


def protocol(name: str, define: str, operations: dict[str, Operation], shapes: dict[str, Shape]) -> str:
    errors = {operation: {ref["shape"] for ref in model["errors"]} for operation, model in operations.items()}
    common = set[str].intersection(*errors.values())
    lines = [f"class {name}(Protocol):", f"    # errors of every operation: {', '.join(sorted(common))}"]
    for operation, model in operations.items():
        own = sorted(errors[operation] - common)
        lines += ["", f"    # also {', '.join(own)}" if own else "    # no other"]
        lines += [f"    {define} {snake_case(operation)}(", "        self,", "        *,"]
        for member, kind, required in members(shapes[model["input"]["shape"]]):
            lines.append(f"        {member}: {kind}{'' if required else ' = ...'},")
        lines.append(f"    ) -> {model['output']['shape']}: ...")
    return "\n".join(lines) + "\n"


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()


if __name__ == "__main__":
    STUB.write_text(stub(installed()), encoding="utf-8")

"""The committed stubs are those of the installed botocore, and type checkers refuse what Bedrock would refuse.

The last functions are never called: `make types` reads them. To mypy as it is set up, an ignore that ignores nothing is
an error: each states that its line is refused.
"""

from __future__ import annotations

import copy
import runpy
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    # There is no such module: the stubs are for type checkers alone.
    from bedrock_agent_runtime import (  # pyright: ignore[reportMissingModuleSource]
        AsyncBedrockAgentRuntimeClient,
        BedrockAgentRuntimeClient,
        SessionStatus,
    )

GENERATOR = runpy.run_path(str(Path(__file__).parents[2] / "stubs" / "generate.py"))
MODEL: dict[str, Any] = GENERATOR["installed"]()
COMMITTED = GENERATOR["STUB"].read_text(encoding="utf-8")


def generated(model: dict[str, Any]) -> str:
    text: str = GENERATOR["stub"](model)
    return text


def test_the_committed_stub_is_that_of_the_installed_botocore() -> None:
    assert generated(MODEL) == COMMITTED, "run stubs/generate.py, and read what has changed"


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ("SessionStatus", {"enum": ["ACTIVE", "ENDED"]}),
        ("SessionMetadataMap", {"max": 51}),
        ("SessionMetadataValue", {"min": 1}),
        ("Uuid", {"pattern": "^.*$"}),
        ("InvocationStepSummary", {"required": ["sessionId"]}),
        ("PutInvocationStepRequest", {"required": ["sessionIdentifier"]}),
        ("ListSessionsRequest", {"members": {}}),
        ("ImageSource", {"union": False}),
    ],
)
def test_a_changed_shape_changes_the_stub(shape: str, change: dict[str, object]) -> None:
    model = copy.deepcopy(MODEL)
    model["shapes"][shape] |= change

    assert generated(model) != generated(MODEL)


def test_a_changed_error_changes_the_stub() -> None:
    model = copy.deepcopy(MODEL)
    model["operations"]["GetSession"]["errors"].append({"shape": "ConflictException"})

    assert generated(model) != generated(MODEL)


def test_prose_order_and_other_operations_do_not_change_the_stub() -> None:
    operations = {name: MODEL["operations"][name] | {"documentation": "other"} for name in GENERATOR["OPERATIONS"]}
    shapes = dict(reversed(MODEL["shapes"].items()))
    shapes["SessionStatus"] = shapes["SessionStatus"] | {"enum": shapes["SessionStatus"]["enum"][::-1]}

    assert generated({"operations": operations, "shapes": shapes}) == generated(MODEL)


def test_methods_are_named_as_botocore_names_them() -> None:
    botocore: Any = pytest.importorskip("botocore")

    for operation in GENERATOR["OPERATIONS"]:
        assert GENERATOR["snake_case"](operation) == botocore.xform_name(operation)


def accepted(client: BedrockAgentRuntimeClient, at: datetime) -> list[SessionStatus]:
    session = client.create_session(sessionMetadata={"topic": "types"}, tags={})
    sessions = [client.get_session(sessionIdentifier=session["sessionId"])]
    invocation = client.create_invocation(sessionIdentifier=session["sessionArn"])["invocationId"]
    client.put_invocation_step(
        sessionIdentifier=session["sessionId"],
        invocationIdentifier=invocation,
        invocationStepTime=at,
        payload={"contentBlocks": [{"text": "a"}, {"image": {"format": "png", "source": {"bytes": b"b"}}}]},
    )
    return [session["sessionStatus"] for session in sessions]


async def accepted_async(client: AsyncBedrockAgentRuntimeClient) -> datetime:
    page = await client.list_sessions(maxResults=1)
    return page["sessionSummaries"][0]["lastUpdatedAt"]


def refused(client: BedrockAgentRuntimeClient) -> bool:
    client.end_session()  # type: ignore[call-arg]
    client.create_session(sessionMetadata=None)  # type: ignore[arg-type]
    client.create_session()["lastUpdatedAt"]  # type: ignore[typeddict-item]
    return client.get_session(sessionIdentifier="")["sessionStatus"] == "OPEN"  # type: ignore[comparison-overlap]

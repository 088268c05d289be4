"""Sessions of AI agents that survive their process: session -> invocation -> step, on any store.

    with stepwell.Client("file:./sessions") as client:
        session = client.create_session(key="INC-7")

Client, AsyncClient    the operations
Text, Image, Data      what a step is made of
Limits                 quotas and times
StepwellError          the root of all errors, see stepwell.errors

A name is loaded when it is first used: `import stepwell` by itself costs next to nothing.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stepwell.client import AsyncClient
    from stepwell.errors import (
        AlreadyExists,
        Conflict,
        CorruptJournal,
        Fenced,
        HeadMoved,
        InvalidRequest,
        LimitExceeded,
        NotFound,
        NotSupported,
        OutcomeUnknown,
        PermissionDenied,
        SessionEnded,
        SessionExpired,
        StaleStore,
        StepwellError,
        Throttled,
        Unavailable,
    )
    from stepwell.limits import Limits
    from stepwell.models import (
        AuditRecord,
        Content,
        Data,
        Fault,
        GcReport,
        Image,
        Invocation,
        InvocationStep,
        InvocationStepSummary,
        InvocationSummary,
        Lease,
        NewStep,
        Page,
        Position,
        Redacted,
        Redaction,
        Resolution,
        Salvaged,
        Session,
        SessionSummary,
        Text,
        Verification,
    )
    from stepwell.sync import Client

__version__ = "0.1.0"

__all__ = [
    "AlreadyExists",
    "AsyncClient",
    "AuditRecord",
    "Client",
    "Conflict",
    "Content",
    "CorruptJournal",
    "Data",
    "Fault",
    "Fenced",
    "GcReport",
    "HeadMoved",
    "Image",
    "InvalidRequest",
    "Invocation",
    "InvocationStep",
    "InvocationStepSummary",
    "InvocationSummary",
    "Lease",
    "LimitExceeded",
    "Limits",
    "NewStep",
    "NotFound",
    "NotSupported",
    "OutcomeUnknown",
    "Page",
    "PermissionDenied",
    "Position",
    "Redacted",
    "Redaction",
    "Resolution",
    "Salvaged",
    "Session",
    "SessionEnded",
    "SessionExpired",
    "SessionSummary",
    "StaleStore",
    "StepwellError",
    "Text",
    "Throttled",
    "Unavailable",
    "Verification",
]

_MODULES = {"AsyncClient": "client", "Client": "sync", "Limits": "limits"} | dict.fromkeys(
    (
        "AuditRecord",
        "Content",
        "Data",
        "Fault",
        "GcReport",
        "Image",
        "Invocation",
        "InvocationStep",
        "InvocationStepSummary",
        "InvocationSummary",
        "Lease",
        "NewStep",
        "Page",
        "Position",
        "Redacted",
        "Redaction",
        "Resolution",
        "Salvaged",
        "Session",
        "SessionSummary",
        "Text",
        "Verification",
    ),
    "models",
)


def __getattr__(name: str) -> object:
    """Load a public name."""
    if name not in __all__:
        raise AttributeError(f"module 'stepwell' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"stepwell.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

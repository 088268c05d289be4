"""Errors of AWS calls, as errors of ours.

A message says what was called and what to do next, with the service's code and the request's id, for its support. Of
what a service says only the parts that hold no data are repeated; all of it is in `__cause__`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time as now
from typing import Any

from stepwell.errors import OutcomeUnknown, StepwellError, Throttled, Unavailable
from stepwell.io.aws_meanings import (
    CERTIFICATE,
    DENIED,
    KEY_DENIED,
    MEANINGS,
    NO_ANSWER,
    PAUSE,
    PROXY,
    RAISED,
    SKEWED,
    UNREACHABLE,
    Meaning,
    of_code,
    of_status,
)

_NEVER_SENT = frozenset({"NewConnectionError", "gaierror", "ClientConnectorError", "ConnectError"})
"""What an `EndpointConnectionError` has inside when no connection came to be: aiobotocore's may also have been cut."""
_TOLD_MAX_CHARACTERS = 300


def translated(error: Exception, *, writes: bool, what: str) -> StepwellError:
    """What an error of a call means. *what* was called, such as "put_item on table sessions"; *writes*, whether it may.

    Raise it from *error*.
    """
    if isinstance(error, StepwellError):
        return error
    response: Mapping[str, Any] | None = getattr(error, "response", None)
    if response is None:
        return _made(_raised(error), type(error).__name__, writes=writes, what=what)
    meaning, details = _answered(response)
    ours = _made(meaning, details, writes=writes, what=what)
    if isinstance(ours, Throttled):
        ours.retry_after = _retry_after(_headers(response))
    return ours


def _made(meaning: Meaning, details: str, *, writes: bool, what: str) -> StepwellError:
    kind = Unavailable if meaning.kind is OutcomeUnknown and not writes else meaning.kind
    return kind(f"{what}: {meaning.advice} ({details})")


def _raised(error: Exception) -> Meaning:
    """What botocore raised by itself; what nobody knows may have been raised behind the request."""
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return CERTIFICATE
    names = [cls.__name__ for cls in type(error).__mro__]
    if "EndpointConnectionError" in names and _was_never_sent(error):
        return UNREACHABLE
    return next((RAISED[name] for name in names if name in RAISED), NO_ANSWER)


def _was_never_sent(error: Exception) -> bool:
    inside = getattr(error, "kwargs", {}).get("error")
    return any(cls.__name__ in _NEVER_SENT for cls in type(inside).__mro__)


def _answered(response: Mapping[str, Any]) -> tuple[Meaning, str]:
    """What a service answered, and its details for a message."""
    told, metadata = response.get("Error", {}), response.get("ResponseMetadata", {})
    code, text = str(told.get("Code", "")), str(told.get("Message", ""))
    meaning = of_code(code, text) or _unknown(metadata)
    details = [code if code in MEANINGS else f"HTTP status {metadata.get('HTTPStatusCode')}"]
    if meaning is SKEWED:
        details += _skew(_headers(response))
    if meaning is DENIED:
        details += _denied(text)
    if meaning in (DENIED, KEY_DENIED):
        details += _key(text)
    if request := metadata.get("RequestId"):
        details.append(f"request {request}")
    return meaning, ", ".join(details)


def _unknown(metadata: Mapping[str, Any]) -> Meaning:
    """What a code that stands nowhere means. Services give every reply an id: what has none is not theirs, or cut."""
    by_status = of_status(int(metadata.get("HTTPStatusCode", 0)))
    return by_status if metadata.get("RequestId") or by_status in (NO_ANSWER, PAUSE) else PROXY


def _headers(response: Mapping[str, Any]) -> Mapping[str, str]:
    headers: Mapping[str, str] = response.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return headers


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds: AWS's own header tells milliseconds."""
    for name, unit in (("x-amz-retry-after", 1000), ("retry-after", 1)):
        if headers.get(name, "").isdecimal():
            return int(headers[name]) / unit
    return None


def _skew(headers: Mapping[str, str]) -> list[str]:
    try:
        told = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError):
        return []
    ahead = round(now() - told)
    return [f"it is {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the service's"]


def _denied(text: str) -> list[str]:
    """Who may not do what, and why: of an explanation by IAM, all but the resource, which may name a session."""
    parts = re.search(r"(User: \S+ is not authorized to perform: \S+)(?: on resource: \S+)?( because .*)?", text)
    return ["".join(part or "" for part in parts.groups())[:_TOLD_MAX_CHARACTERS]] if parts else []


def _key(text: str) -> list[str]:
    """Which KMS key it is about."""
    named = re.search(r"arn:[a-z-]+:kms:[a-z0-9-]+:[0-9]{12}:(?:key|alias)/[\w/-]{1,256}", text)
    return [f"key {named[0]}"] if named else []

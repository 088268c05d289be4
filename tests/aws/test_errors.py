"""What each error of AWS and of botocore means, and what its message says."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import botocore.exceptions
import botocore.session
import pytest
from aiohttp import ClientConnectorError, ClientOSError
from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError
from botocore.parsers import ResponseParserError
from botocore.retries.standard import ThrottledRetryableChecker, TransientRetryableChecker
from urllib3.exceptions import NewConnectionError

from stepwell.errors import (
    CorruptJournal,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    NotSupported,
    OutcomeUnknown,
    PermissionDenied,
    StepwellError,
    Throttled,
    Unavailable,
)
from stepwell.io import aws_errors, aws_meanings
from stepwell.io.aws_errors import translated
from stepwell.io.aws_meanings import MEANINGS, RAISED, Meaning

WHAT = "put_item on table sessions"
PAYLOAD = "payload-that-nobody-may-see"
CALLED = {
    "dynamodb": (
        "PutItem GetItem Query UpdateItem DeleteItem BatchWriteItem DescribeTable CreateTable DescribeTimeToLive "
        "UpdateTimeToLive DescribeContinuousBackups UpdateContinuousBackups"
    ),
    "s3": "PutObject GetObject CopyObject ListObjectsV2 DeleteObject DeleteObjects",
}
RETRYABLE: dict[type[StepwellError], str] = {
    Throttled: "ThrottlingException ProvisionedThroughputExceededException RequestLimitExceeded SlowDown",
    Unavailable: (
        "TransactionConflictException ReplicatedWriteConflictException TransactionInProgressException "
        "TransactionCanceledException ConditionalCheckFailedException PreconditionFailed ConditionalRequestConflict "
        "ResourceInUseException ContinuousBackupsUnavailableException RequestTimeout IncompleteBody"
    ),
}
FINAL: dict[type[StepwellError], str] = {
    PermissionDenied: (
        "AccessDenied AccessDeniedException UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId "
        "SignatureDoesNotMatch InvalidSignatureException ExpiredToken ExpiredTokenException MissingAuthenticationToken "
        "KMS.DisabledException KMS.NotFoundException KMSAccessDeniedException KMS.SomethingNew"
    ),
    Unavailable: (
        "ResourceNotFoundException TableNotFoundException NoSuchBucket InvalidObjectState ObjectNotInActiveTierError "
        "RequestTimeTooSkewed RequestExpired"
    ),
    LimitExceeded: "ItemCollectionSizeLimitExceededException EntityTooLarge LimitExceededException TooManyParts",
    NotSupported: "ValidationException UnknownOperationException InvalidRequest InvalidWriteOffset MethodNotAllowed",
    InvalidRequest: "PermanentRedirect InvalidBucketName AuthorizationHeaderMalformed",
    CorruptJournal: "NoSuchKey",
}
NO_ANSWER = "InternalServerError InternalFailure InternalError ServiceUnavailable"


def answered(code: str, text: str = "", status: int = 400, headers: Mapping[str, str] | None = None) -> ClientError:
    """An error as botocore makes it of a service's reply."""
    metadata: Any = {"RequestId": "R1", "HTTPStatusCode": status, "HTTPHeaders": headers or {}}
    return ClientError({"Error": {"Code": code, "Message": text}, "ResponseMetadata": metadata}, "PutItem")


def meant(error: Exception, *, writes: bool = True) -> StepwellError:
    return translated(error, writes=writes, what=WHAT)


def each(groups: dict[type[StepwellError], str]) -> list[tuple[type[StepwellError], str]]:
    return [(kind, code) for kind, codes in groups.items() for code in codes.split()]


# The table


@pytest.mark.parametrize("service", CALLED)
def test_every_error_that_an_operation_models_has_a_meaning(service: str) -> None:
    model: Any = botocore.session.get_session().get_service_model(service)
    modelled = {
        str(shape.error_code) for name in CALLED[service].split() for shape in model.operation_model(name).error_shapes
    }
    assert modelled
    assert modelled - MEANINGS.keys() == set()


def test_every_code_that_botocore_itself_would_retry_has_a_meaning() -> None:
    throttled = set(vars(ThrottledRetryableChecker)["_THROTTLED_ERROR_CODES"])
    transient = set(vars(TransientRetryableChecker)["_TRANSIENT_ERROR_CODES"])
    assert throttled
    assert transient
    assert throttled | transient <= MEANINGS.keys()


def test_every_error_that_botocore_raises_by_itself_has_a_meaning() -> None:
    raised = [
        cls
        for _, cls in inspect.getmembers(botocore.exceptions, inspect.isclass)
        if issubclass(cls, BotoCoreError) and cls is not BotoCoreError
    ]
    assert len(raised) > 50
    unknown = [cls.__name__ for cls in raised if not any(one.__name__ in RAISED for one in cls.__mro__)]
    assert unknown == []


@pytest.mark.parametrize(("kind", "code"), each(RETRYABLE))
def test_nothing_was_written_and_the_call_may_be_repeated(kind: type[StepwellError], code: str) -> None:
    for writes in (True, False):
        error = meant(answered(code), writes=writes)
        assert type(error) is kind
        assert error.retryable


@pytest.mark.parametrize(("kind", "code"), each(FINAL))
def test_nothing_was_written_and_the_call_is_not_repeated(kind: type[StepwellError], code: str) -> None:
    for writes in (True, False):
        error = meant(answered(code), writes=writes)
        assert type(error) is kind
        assert not error.retryable


@pytest.mark.parametrize("code", NO_ANSWER.split())
def test_a_write_may_have_been_made_and_a_read_may_be_repeated(code: str) -> None:
    assert type(meant(answered(code, status=500), writes=True)) is OutcomeUnknown
    read = meant(answered(code, status=500), writes=False)
    assert type(read) is Unavailable
    assert read.retryable


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (400, NotSupported, False),
        (401, PermissionDenied, False),
        (403, PermissionDenied, False),
        (404, Unavailable, False),
        (409, Unavailable, True),
        (412, Unavailable, True),
        (413, LimitExceeded, False),
        (422, NotSupported, False),
        (429, Throttled, True),
        (500, OutcomeUnknown, False),
        (503, OutcomeUnknown, False),
        (301, OutcomeUnknown, False),
    ],
)
def test_a_code_that_nobody_knows_is_judged_by_its_status(
    status: int, kind: type[StepwellError], retryable: bool
) -> None:
    error = meant(answered("BrandNewException", status=status))
    assert (type(error), error.retryable) == (kind, retryable)
    assert f"HTTP status {status}" in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_an_unknown_refusal_without_a_requests_id_may_be_a_cut_reply(status: int) -> None:
    metadata: Any = {"HTTPStatusCode": status, "HTTPHeaders": {}}
    error = ClientError({"Error": {"Code": str(status)}, "ResponseMetadata": metadata}, "PutItem")
    assert type(meant(error)) is OutcomeUnknown
    assert "proxy" in str(meant(error, writes=False))


def test_an_answer_that_says_nothing_is_none() -> None:
    assert type(meant(ClientError({}, "PutItem"))) is OutcomeUnknown


# What is raised


def unreached(inside: Exception) -> EndpointConnectionError:
    return EndpointConnectionError(endpoint_url="http://localhost", error=inside)


def test_a_connection_that_never_came_to_be_carried_nothing() -> None:
    key: Any = type("Key", (), {"host": "h", "port": 1, "ssl": True, "is_ssl": False})()
    pool: Any = None
    for inside in (ClientConnectorError(key, OSError(111, "refused")), NewConnectionError(pool, "refused")):
        error = meant(unreached(inside))
        assert type(error) is Unavailable
        assert error.retryable


def test_a_connection_that_was_cut_may_have_carried_the_request() -> None:
    """aiobotocore calls it by the same name."""
    assert type(meant(unreached(ClientOSError(104, "Connection reset by peer")))) is OutcomeUnknown
    assert type(meant(unreached(ClientOSError(104, "reset")), writes=False)) is Unavailable


@pytest.mark.parametrize(
    "error",
    [
        botocore.exceptions.ReadTimeoutError(endpoint_url="http://localhost"),
        botocore.exceptions.ConnectionClosedError(endpoint_url="http://localhost"),
        botocore.exceptions.HTTPClientError(error=OSError(PAYLOAD)),
        botocore.exceptions.IncompleteReadError(actual_bytes=1, expected_bytes=2),
        botocore.exceptions.ResponseStreamingError(error=OSError("reset")),
        botocore.exceptions.SSLError(endpoint_url="https://localhost", error=OSError("bad record")),
        ResponseParserError(PAYLOAD),
        OSError(PAYLOAD),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_broke_behind_the_request_is_no_answer(error: Exception) -> None:
    assert type(meant(error)) is OutcomeUnknown
    read = meant(error, writes=False)
    assert type(read) is Unavailable
    assert read.retryable
    assert PAYLOAD not in str(read)


@pytest.mark.parametrize(
    ("error", "kind", "advice"),
    [
        (botocore.exceptions.NoCredentialsError(), PermissionDenied, "AWS_PROFILE"),
        (botocore.exceptions.UnauthorizedSSOTokenError(), PermissionDenied, "log in"),
        (botocore.exceptions.NoRegionError(), InvalidRequest, "?region="),
        (botocore.exceptions.ProfileNotFound(profile="x"), InvalidRequest, "configuration"),
        (botocore.exceptions.ParamValidationError(report=PAYLOAD), NotSupported, "request"),
        (botocore.exceptions.ConnectTimeoutError(endpoint_url="http://localhost"), Unavailable, "network"),
        (botocore.exceptions.ProxyConnectionError(proxy_url="http://localhost"), Unavailable, "proxy"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_was_never_sent_says_what_to_do(error: Exception, kind: type[StepwellError], advice: str) -> None:
    ours = meant(error)
    assert type(ours) is kind
    assert advice in str(ours)
    assert PAYLOAD not in str(ours)


def test_a_certificate_that_is_not_trusted_is_told() -> None:
    inside = OSError("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
    error = meant(botocore.exceptions.SSLError(endpoint_url="https://localhost", error=inside))
    assert type(error) is Unavailable
    assert not error.retryable
    assert "AWS_CA_BUNDLE" in str(error)


def test_an_error_of_ours_stays_as_it_is() -> None:
    ours = NotFound("no such session")
    assert meant(ours) is ours


# Messages


def meanings() -> dict[str, Meaning]:
    return {name: value for name, value in vars(aws_meanings).items() if isinstance(value, Meaning)}


def test_every_advice_says_what_is_wrong_and_then_what_to_do() -> None:
    found = meanings()
    assert set(found.values()) >= {*MEANINGS.values(), *RAISED.values()}
    for meaning in found.values():
        wrong, colon, todo = meaning.advice.partition(": ")
        assert "" not in (wrong, colon, todo), meaning.advice


@pytest.mark.parametrize("code", MEANINGS)
def test_a_message_names_the_call_the_code_and_the_request_and_repeats_nothing(code: str) -> None:
    told = str(meant(answered(code, f"{PAYLOAD} {{'pk': {{'S': '{PAYLOAD}'}}}}")))
    assert told.startswith(f"{WHAT}: ")
    assert code in told
    assert "request R1" in told
    assert PAYLOAD not in told


@pytest.mark.parametrize(
    ("text", "kind", "advice"),
    [
        ("Item size has exceeded the maximum allowed size", LimitExceeded, "?blobs="),
        ("Item size to update has exceeded the maximum allowed size", LimitExceeded, "?blobs="),
        ("The provided key element does not match the schema", NotSupported, "stepwell provision"),
        ("One or more parameter values were invalid: Missing the key pk in the item", NotSupported, "table's keys"),
        ("One or more parameter values were invalid: Type mismatch for key pk", NotSupported, "table's keys"),
        ("The table does not have the specified index: sessions", NotSupported, "index"),
        ("1 validation error detected: Value 'x'", NotSupported, "differs from AWS"),
    ],
)
def test_what_a_validation_is_about_is_told_by_its_text(text: str, kind: type[StepwellError], advice: str) -> None:
    error = meant(answered("ValidationException", text))
    assert type(error) is kind
    assert advice in str(error)


def test_a_table_that_is_missing_names_what_makes_it() -> None:
    told = str(meant(answered("ResourceNotFoundException", "Requested resource not found")))
    assert "stepwell provision URL" in told
    assert "?create=1" in told


def test_a_denial_says_who_may_not_do_what_and_why_but_not_to_what() -> None:
    who, key = "arn:aws:iam::123456789012:user/agent", f"arn:aws:s3:::bucket/{PAYLOAD}"
    why = "because no identity-based policy allows the s3:PutObject action"
    text = f'User: {who} is not authorized to perform: s3:PutObject on resource: "{key}" {why}'
    error = meant(answered("AccessDenied", text, status=403))
    assert type(error) is PermissionDenied
    assert f"{who} is not authorized to perform: s3:PutObject {why}" in str(error)
    assert "stepwell iam-policy URL" in str(error)
    assert PAYLOAD not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "User: a is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:1:key/k",
        "KMS key access denied error: the ciphertext refers to a key that does not exist",
    ],
)
def test_a_denial_by_a_key_names_its_policy(text: str) -> None:
    error = meant(answered("AccessDeniedException", text))
    assert type(error) is PermissionDenied
    assert "key policy" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-amz-retry-after": "1500"}, 1.5),
        ({"retry-after": "2"}, 2.0),
        ({"x-amz-retry-after": "250", "retry-after": "2"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, None),
        ({"retry-after": "-1"}, None),
        ({}, None),
    ],
)
def test_a_pause_that_the_service_asks_for_is_kept(headers: dict[str, str], seconds: float | None) -> None:
    error = meant(answered("ThrottlingException", headers=headers))
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("RequestTimeTooSkewed", "The difference between the request time and the current time is too large."),
        ("InvalidSignatureException", "Signature expired: 20261127T000000Z is now earlier than 20261127T001500Z"),
        ("SignatureDoesNotMatch", "Signature not yet current: 20261127T010000Z is still later than 20261127T000500Z"),
    ],
)
def test_a_wrong_clock_is_told_by_how_much(code: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    told = datetime(2026, 11, 27, 12, tzinfo=UTC)
    date = "Fri, 27 Nov 2026 12:00:00 GMT"
    for ahead, words in ((900, "900 s ahead of the service's"), (-1800, "1800 s behind the service's")):
        monkeypatch.setattr(aws_errors, "now", lambda ahead=ahead: told.timestamp() + ahead)
        error = meant(answered(code, text, headers={"date": date}))
        assert type(error) is Unavailable
        assert not error.retryable
        assert words in str(error)
    assert "clock" in str(meant(answered(code, text)))
    assert "clock" in str(meant(answered(code, text, headers={"date": "yesterday"})))

"""What each code of an AWS service means, and each error that botocore raises by itself.

Meaning    a kind of error and the advice that goes with it
MEANINGS   by code: those of DynamoDB and S3, and those that AWS services have in common
of_code    the same, by its message too where one code means several things
of_status  a code that stands nowhere, by the status of its reply
RAISED     by class of botocore's
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import NamedTuple

from stepwell.errors import (
    CorruptJournal,
    InvalidRequest,
    LimitExceeded,
    NotSupported,
    OutcomeUnknown,
    PermissionDenied,
    StepwellError,
    Throttled,
    Unavailable,
)


class Meaning(NamedTuple):
    """A kind of error and the advice that goes with it."""

    kind: Callable[[str], StepwellError]
    advice: str


def _broken(message: str) -> Unavailable:
    return Unavailable(message, retryable=False)


NO_ANSWER = Meaning(OutcomeUnknown, "it gave no whole answer: try again")
"""Whether it was done is not known; of a call that writes nothing, this is `Unavailable`."""
UNREACHABLE = Meaning(
    Unavailable, "it cannot be reached: check the network, any proxy, ?region= and the endpoint's URL"
)
PAUSE = Meaning(Throttled, "it asks for a pause: try later; if this lasts, raise what the table or account may take")
BUSY = Meaning(Unavailable, "others are changing the same thing, and nothing was written: try again")
DAMAGED = Meaning(Unavailable, "the request did not arrive whole, and nothing was written: try again")
NO_CREDENTIALS = Meaning(
    PermissionDenied,
    "there are no usable AWS credentials: set AWS_PROFILE or AWS_ACCESS_KEY_ID, log in, or run under a role",
)
BAD_CREDENTIALS = Meaning(PermissionDenied, "it does not accept the AWS credentials: check which ones are used")
OLD_CREDENTIALS = Meaning(PermissionDenied, "the AWS credentials have expired: log in again, or renew them")
DENIED = Meaning(PermissionDenied, "it does not allow that: `stepwell iam-policy URL` prints the policy that is needed")
KEY_DENIED = Meaning(
    PermissionDenied, "the KMS key refuses: enable it, and let its key policy allow this caller to use it"
)
SKEWED = Meaning(_broken, "the machine's clock is wrong: set it")
NO_TABLE = Meaning(
    _broken, "there is no such table here: run `stepwell provision URL`, add ?create=1, or correct ?region="
)
NO_BUCKET = Meaning(
    _broken, "there is no such bucket: run `stepwell provision URL` for an s3: store, or correct the URL"
)
OTHER_REGION = Meaning(InvalidRequest, "the bucket lies in another region, or its name is not one: correct the URL")
NO_OBJECT = Meaning(CorruptJournal, "the object is not there: it was removed from outside, as by a lifecycle rule")
ARCHIVED = Meaning(_broken, "the object was archived: restore it, and keep lifecycle rules from archiving these")
TOO_LARGE = Meaning(LimitExceeded, "it is larger than the service takes: split it, or let ?blobs=s3://… take it")
QUOTA = Meaning(LimitExceeded, "a quota of the AWS account is used up: wait, or have it raised")
UNEXPECTED = Meaning(NotSupported, "it does not take such a request: is it a service or version that differs from AWS?")
OTHER_KEYS = Meaning(NotSupported, "the table's keys are not Stepwell's: use one made by `stepwell provision URL`")
NO_INDEX = Meaning(NotSupported, "the table lacks the index `sessions`: use one made by `stepwell provision URL`")
MISSING = Meaning(_broken, "it is not there: correct the URL")
PROXY = Meaning(OutcomeUnknown, "something that is not the service answered, such as a proxy: check the endpoint's URL")
CERTIFICATE = Meaning(
    _broken, "the server's certificate is not trusted: check the endpoint's URL, or name its CA in AWS_CA_BUNDLE"
)
NO_REGION = Meaning(InvalidRequest, "the AWS region is missing or unknown: add ?region= or set AWS_REGION")
BAD_SETTINGS = Meaning(InvalidRequest, "the AWS settings cannot be used: correct the configuration file or environment")

_GROUPS: tuple[tuple[Meaning, str], ...] = (
    (
        PAUSE,
        """
        ThrottlingException ThrottledException Throttling RequestThrottled RequestThrottledException SlowDown
        ProvisionedThroughputExceededException RequestLimitExceeded TooManyRequestsException TooManyRequests
        BandwidthLimitExceeded PriorRequestNotComplete EC2ThrottledException KMS.ThrottlingException
        """,
    ),
    (
        BUSY,
        """
        ConditionalCheckFailedException TransactionConflictException TransactionCanceledException
        TransactionInProgressException ReplicatedWriteConflictException ResourceInUseException
        TableInUseException ContinuousBackupsUnavailableException PreconditionFailed ConditionalRequestConflict
        OperationAborted
        """,
    ),
    (
        NO_ANSWER,
        """
        InternalServerError InternalServerException InternalFailure InternalError ServiceUnavailable
        ServiceUnavailableException RequestTimeoutException
        """,
    ),
    (
        DAMAGED,
        "RequestTimeout IncompleteBody BadDigest InvalidDigest XAmzContentChecksumMismatch XAmzContentSHA256Mismatch",
    ),
    (NO_CREDENTIALS, "MissingAuthenticationToken MissingAuthenticationTokenException MissingSecurityHeader"),
    (
        BAD_CREDENTIALS,
        """
        UnrecognizedClientException InvalidClientTokenId InvalidAccessKeyId IncompleteSignature
        IncompleteSignatureException InvalidSignatureException SignatureDoesNotMatch InvalidToken
        InvalidSecurity AuthFailure NotSignedUp OptInRequired CredentialsNotSupported
        """,
    ),
    (OLD_CREDENTIALS, "ExpiredToken ExpiredTokenException TokenRefreshRequired"),
    (DENIED, "AccessDenied AccessDeniedException AllAccessDisabled AccountProblem NotAuthorized UnauthorizedOperation"),
    (
        KEY_DENIED,
        """
        KMS.DisabledException KMS.NotFoundException KMS.AccessDeniedException KMS.InvalidStateException
        KMS.KMSInvalidStateException KMS.KeyUnavailableException KMS.InvalidKeyUsageException
        KMSAccessDeniedException KMSDisabledException KMSInvalidStateException KMSNotFoundException
        KMSOptInRequired
        """,
    ),
    (SKEWED, "RequestTimeTooSkewed RequestExpired RequestInTheFuture"),
    (NO_TABLE, "ResourceNotFoundException TableNotFoundException"),
    (NO_INDEX, "IndexNotFoundException"),
    (NO_BUCKET, "NoSuchBucket"),
    (
        OTHER_REGION,
        """
        PermanentRedirect TemporaryRedirect Redirect AuthorizationHeaderMalformed InvalidBucketName
        IllegalLocationConstraintException
        """,
    ),
    (NO_OBJECT, "NoSuchKey"),
    (ARCHIVED, "InvalidObjectState ObjectNotInActiveTierError"),
    (
        TOO_LARGE,
        "ItemCollectionSizeLimitExceededException EntityTooLarge KeyTooLongError MetadataTooLarge TooManyParts",
    ),
    (QUOTA, "LimitExceededException ServiceQuotaExceededException"),
    (
        UNEXPECTED,
        """
        ValidationException ValidationError ValidationErrorException SerializationException InvalidRequest
        InvalidArgument InvalidAction UnknownOperationException UnknownOperation NotImplemented MethodNotAllowed
        UnsupportedOperation MalformedXML InvalidWriteOffset EncryptionTypeMismatch
        IdempotentParameterMismatchException MissingContentLength
        """,
    ),
)
MEANINGS: Mapping[str, Meaning] = {code: meaning for meaning, codes in _GROUPS for code in codes.split()}


def of_code(code: str, text: str) -> Meaning | None:
    """What a service's code means, with its message where the code alone does not tell; None if nobody knows."""
    meaning = MEANINGS.get(code)
    if meaning is BAD_CREDENTIALS and re.search(r"Signature (expired|not yet current)", text):
        return SKEWED
    if (meaning is DENIED and re.search(r"\bkms\b", text, re.IGNORECASE)) or (meaning is None and code[:3] == "KMS"):
        return KEY_DENIED
    if meaning is UNEXPECTED:
        return next((said for pattern, said in _SAID if pattern.search(text)), meaning)
    return meaning


_SAID: tuple[tuple[re.Pattern[str], Meaning], ...] = (
    (re.compile(r"item size|maximum allowed size", re.IGNORECASE), TOO_LARGE),
    (re.compile(r"specified index"), NO_INDEX),
    (
        re.compile(
            r"key schema|key element|missing the key|mismatch for key|number of conditions on the keys", re.IGNORECASE
        ),
        OTHER_KEYS,
    ),
)
"""What a ValidationException is about, by its text."""


def of_status(status: int) -> Meaning:
    """What a reply with a code that nobody knows means, by its HTTP status."""
    match status:
        case 401 | 403:
            return DENIED
        case 404:
            return MISSING
        case 409 | 412:
            return BUSY
        case 413:
            return TOO_LARGE
        case 429:
            return PAUSE
        case _:
            return UNEXPECTED if HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR else NO_ANSWER


_RAISED_GROUPS: tuple[tuple[Meaning, str], ...] = (
    (UNREACHABLE, "ConnectTimeoutError ProxyConnectionError"),
    (
        NO_ANSWER,
        """
        EndpointConnectionError ConnectionError HTTPClientError SSLError IncompleteReadError ChecksumError
        FlexibleChecksumError ResponseParserError
        """,
    ),
    (
        NO_CREDENTIALS,
        """
        NoCredentialsError PartialCredentialsError CredentialRetrievalError TokenRetrievalError NoAuthTokenError
        UnknownCredentialError MetadataRetrievalError RefreshWithMFAUnsupportedError UnknownTokenProviderError
        SSOError LoginError
        """,
    ),
    (PAUSE, "CapacityNotAvailableError"),
    (
        NO_REGION,
        "BaseEndpointResolverError InvalidRegionError UnknownRegionError EndpointProviderError ServiceNotInRegionError",
    ),
    (
        BAD_SETTINGS,
        """
        ProfileNotFound ConfigParseError ConfigNotFound InvalidConfigError InvalidIMDSEndpointError
        InvalidIMDSEndpointModeError InvalidDefaultsMode InvalidProxiesConfigError
        InvalidRetryConfigurationError InvalidEndpointConfigurationError InvalidChecksumConfigError
        InvalidS3AddressingStyleError InvalidS3UsEast1RegionalEndpointConfigError
        InvalidSTSRegionalEndpointsConfigError InvalidEndpointDiscoveryConfigurationError
        UnsupportedS3ConfigurationError UnknownSignatureVersionError UnsupportedSignatureVersionError
        MD5UnavailableError MissingDependencyException InvalidHostLabelError InvalidDNSNameError
        """,
    ),
    (
        UNEXPECTED,
        """
        ParamValidationError MissingParametersError ValidationError DataNotFoundError ApiVersionNotFoundError
        UnknownServiceStyle OperationNotPageableError PaginationError WaiterError WaiterConfigError
        InvalidExpressionError UnknownClientMethodError UnseekableStreamError UnsupportedS3ArnError
        UnsupportedS3ControlArnError UnsupportedOutpostResourceError UnsupportedS3AccesspointConfigurationError
        UnsupportedS3ControlConfigurationError UnsupportedServiceProtocolsError AwsChunkedWrapperError
        StubResponseError
        """,
    ),
)
RAISED: Mapping[str, Meaning] = {name: meaning for meaning, names in _RAISED_GROUPS for name in names.split()}
"""By the name of a class, or of one that it derives from."""

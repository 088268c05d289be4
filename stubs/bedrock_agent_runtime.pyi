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

# min 1
BedrockSessionContentBlockTextString: TypeAlias = str
# min 1
BedrockSessionContentBlocks: TypeAlias = list[BedrockSessionContentBlock]
DateTimestamp: TypeAlias = datetime
ImageFormat: TypeAlias = Literal["gif", "jpeg", "png", "webp"]
# min 1
ImageSourceBytesBlob: TypeAlias = bytes
# min 1, max 200
InvocationDescription: TypeAlias = str
# ^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$
InvocationIdentifier: TypeAlias = str
InvocationStepSummaries: TypeAlias = list[InvocationStepSummary]
InvocationSummaries: TypeAlias = list[InvocationSummary]
# min 1, max 2048
# ^arn:aws(|-cn|-us-gov):kms:[a-zA-Z0-9-]*:[0-9]{12}:key/[a-zA-Z0-9-]{36}$
KmsKeyArn: TypeAlias = str
# min 1, max 1000
MaxResults: TypeAlias = int
# min 1, max 2048
# ^\S*$
NextToken: TypeAlias = str
# min 1, max 1024
# ^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/.{1,1024}$
S3Uri: TypeAlias = str
# ^arn:aws(-[^:]+)?:bedrock:[a-z0-9-]+:[0-9]{12}:session/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$
SessionArn: TypeAlias = str
# ^(arn:aws(-[^:]+)?:bedrock:[a-z0-9-]+:[0-9]{12}:session/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})|([a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12})$
SessionIdentifier: TypeAlias = str
# min 1, max 100
SessionMetadataKey: TypeAlias = str
# min 0, max 50
SessionMetadataMap: TypeAlias = dict[SessionMetadataKey, SessionMetadataValue]
# min 0, max 5000
SessionMetadataValue: TypeAlias = str
SessionStatus: TypeAlias = Literal["ACTIVE", "ENDED", "EXPIRED"]
SessionSummaries: TypeAlias = list[SessionSummary]
# min 1, max 128
# ^[a-zA-Z0-9\s._:/=+@-]*$
TagKey: TypeAlias = str
# min 1, max 200
TagKeyList: TypeAlias = list[TagKey]
# min 0, max 256
# ^[a-zA-Z0-9\s._:/=+@-]*$
TagValue: TypeAlias = str
# min 20, max 1011
# (^arn:aws(-[^:]+)?:bedrock:[a-zA-Z0-9-]+:[0-9]{12}:(session)/[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$)
TaggableResourcesArn: TypeAlias = str
# min 1, max 200
TagsMap: TypeAlias = dict[TagKey, TagValue]
# ^[a-f0-9]{8}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{12}$
Uuid: TypeAlias = str

class Metadata(TypedDict):
    RequestId: str
    HTTPStatusCode: int
    HTTPHeaders: dict[str, str]
    RetryAttempts: int

class S3Location(TypedDict):
    uri: S3Uri

class ImageSource(TypedDict):
    # exactly one member
    bytes: NotRequired[ImageSourceBytesBlob]
    s3Location: NotRequired[S3Location]

class ImageBlock(TypedDict):
    format: ImageFormat
    source: ImageSource

class BedrockSessionContentBlock(TypedDict):
    # exactly one member
    image: NotRequired[ImageBlock]
    text: NotRequired[BedrockSessionContentBlockTextString]

class InvocationStepPayload(TypedDict):
    # exactly one member
    contentBlocks: NotRequired[BedrockSessionContentBlocks]

class SessionSummary(TypedDict):
    createdAt: DateTimestamp
    lastUpdatedAt: DateTimestamp
    sessionArn: SessionArn
    sessionId: Uuid
    sessionStatus: SessionStatus

class InvocationSummary(TypedDict):
    createdAt: DateTimestamp
    invocationId: Uuid
    sessionId: Uuid

class InvocationStep(TypedDict):
    invocationId: Uuid
    invocationStepId: Uuid
    invocationStepTime: DateTimestamp
    payload: InvocationStepPayload
    sessionId: Uuid

class InvocationStepSummary(TypedDict):
    invocationId: Uuid
    invocationStepId: Uuid
    invocationStepTime: DateTimestamp
    sessionId: Uuid

class CreateSessionResponse(TypedDict):
    createdAt: DateTimestamp
    sessionArn: SessionArn
    sessionId: Uuid
    sessionStatus: SessionStatus
    ResponseMetadata: Metadata

class GetSessionResponse(TypedDict):
    createdAt: DateTimestamp
    lastUpdatedAt: DateTimestamp
    sessionArn: SessionArn
    sessionId: Uuid
    sessionStatus: SessionStatus
    encryptionKeyArn: NotRequired[KmsKeyArn]
    sessionMetadata: NotRequired[SessionMetadataMap]
    ResponseMetadata: Metadata

class UpdateSessionResponse(TypedDict):
    createdAt: DateTimestamp
    lastUpdatedAt: DateTimestamp
    sessionArn: SessionArn
    sessionId: Uuid
    sessionStatus: SessionStatus
    ResponseMetadata: Metadata

class EndSessionResponse(TypedDict):
    sessionArn: SessionArn
    sessionId: Uuid
    sessionStatus: SessionStatus
    ResponseMetadata: Metadata

class DeleteSessionResponse(TypedDict):
    ResponseMetadata: Metadata

class ListSessionsResponse(TypedDict):
    sessionSummaries: SessionSummaries
    nextToken: NotRequired[NextToken]
    ResponseMetadata: Metadata

class CreateInvocationResponse(TypedDict):
    createdAt: DateTimestamp
    invocationId: Uuid
    sessionId: Uuid
    ResponseMetadata: Metadata

class ListInvocationsResponse(TypedDict):
    invocationSummaries: InvocationSummaries
    nextToken: NotRequired[NextToken]
    ResponseMetadata: Metadata

class PutInvocationStepResponse(TypedDict):
    invocationStepId: Uuid
    ResponseMetadata: Metadata

class GetInvocationStepResponse(TypedDict):
    invocationStep: InvocationStep
    ResponseMetadata: Metadata

class ListInvocationStepsResponse(TypedDict):
    invocationStepSummaries: InvocationStepSummaries
    nextToken: NotRequired[NextToken]
    ResponseMetadata: Metadata

class TagResourceResponse(TypedDict):
    ResponseMetadata: Metadata

class UntagResourceResponse(TypedDict):
    ResponseMetadata: Metadata

class ListTagsForResourceResponse(TypedDict):
    tags: NotRequired[TagsMap]
    ResponseMetadata: Metadata

class BedrockAgentRuntimeClient(Protocol):
    # errors of every operation: AccessDeniedException, InternalServerException, ThrottlingException, ValidationException

    # also ConflictException, ServiceQuotaExceededException
    def create_session(
        self,
        *,
        encryptionKeyArn: KmsKeyArn = ...,
        sessionMetadata: SessionMetadataMap = ...,
        tags: TagsMap = ...,
    ) -> CreateSessionResponse: ...

    # also ResourceNotFoundException
    def get_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> GetSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    def update_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        sessionMetadata: SessionMetadataMap = ...,
    ) -> UpdateSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    def end_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> EndSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    def delete_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> DeleteSessionResponse: ...

    # no other
    def list_sessions(
        self,
        *,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListSessionsResponse: ...

    # also ConflictException, ResourceNotFoundException, ServiceQuotaExceededException
    def create_invocation(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        description: InvocationDescription = ...,
        invocationId: Uuid = ...,
    ) -> CreateInvocationResponse: ...

    # also ResourceNotFoundException
    def list_invocations(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListInvocationsResponse: ...

    # also ConflictException, ResourceNotFoundException, ServiceQuotaExceededException
    def put_invocation_step(
        self,
        *,
        invocationIdentifier: InvocationIdentifier,
        invocationStepTime: DateTimestamp,
        payload: InvocationStepPayload,
        sessionIdentifier: SessionIdentifier,
        invocationStepId: Uuid = ...,
    ) -> PutInvocationStepResponse: ...

    # also ResourceNotFoundException
    def get_invocation_step(
        self,
        *,
        invocationIdentifier: InvocationIdentifier,
        invocationStepId: Uuid,
        sessionIdentifier: SessionIdentifier,
    ) -> GetInvocationStepResponse: ...

    # also ResourceNotFoundException
    def list_invocation_steps(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        invocationIdentifier: InvocationIdentifier = ...,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListInvocationStepsResponse: ...

    # also ResourceNotFoundException, ServiceQuotaExceededException
    def tag_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
        tags: TagsMap,
    ) -> TagResourceResponse: ...

    # also ResourceNotFoundException
    def untag_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
        tagKeys: TagKeyList,
    ) -> UntagResourceResponse: ...

    # also ResourceNotFoundException
    def list_tags_for_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
    ) -> ListTagsForResourceResponse: ...

class AsyncBedrockAgentRuntimeClient(Protocol):
    # errors of every operation: AccessDeniedException, InternalServerException, ThrottlingException, ValidationException

    # also ConflictException, ServiceQuotaExceededException
    async def create_session(
        self,
        *,
        encryptionKeyArn: KmsKeyArn = ...,
        sessionMetadata: SessionMetadataMap = ...,
        tags: TagsMap = ...,
    ) -> CreateSessionResponse: ...

    # also ResourceNotFoundException
    async def get_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> GetSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    async def update_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        sessionMetadata: SessionMetadataMap = ...,
    ) -> UpdateSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    async def end_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> EndSessionResponse: ...

    # also ConflictException, ResourceNotFoundException
    async def delete_session(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
    ) -> DeleteSessionResponse: ...

    # no other
    async def list_sessions(
        self,
        *,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListSessionsResponse: ...

    # also ConflictException, ResourceNotFoundException, ServiceQuotaExceededException
    async def create_invocation(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        description: InvocationDescription = ...,
        invocationId: Uuid = ...,
    ) -> CreateInvocationResponse: ...

    # also ResourceNotFoundException
    async def list_invocations(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListInvocationsResponse: ...

    # also ConflictException, ResourceNotFoundException, ServiceQuotaExceededException
    async def put_invocation_step(
        self,
        *,
        invocationIdentifier: InvocationIdentifier,
        invocationStepTime: DateTimestamp,
        payload: InvocationStepPayload,
        sessionIdentifier: SessionIdentifier,
        invocationStepId: Uuid = ...,
    ) -> PutInvocationStepResponse: ...

    # also ResourceNotFoundException
    async def get_invocation_step(
        self,
        *,
        invocationIdentifier: InvocationIdentifier,
        invocationStepId: Uuid,
        sessionIdentifier: SessionIdentifier,
    ) -> GetInvocationStepResponse: ...

    # also ResourceNotFoundException
    async def list_invocation_steps(
        self,
        *,
        sessionIdentifier: SessionIdentifier,
        invocationIdentifier: InvocationIdentifier = ...,
        maxResults: MaxResults = ...,
        nextToken: NextToken = ...,
    ) -> ListInvocationStepsResponse: ...

    # also ResourceNotFoundException, ServiceQuotaExceededException
    async def tag_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
        tags: TagsMap,
    ) -> TagResourceResponse: ...

    # also ResourceNotFoundException
    async def untag_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
        tagKeys: TagKeyList,
    ) -> UntagResourceResponse: ...

    # also ResourceNotFoundException
    async def list_tags_for_resource(
        self,
        *,
        resourceArn: TaggableResourcesArn,
    ) -> ListTagsForResourceResponse: ...

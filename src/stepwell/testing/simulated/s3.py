"""S3 as its documentation has it: strongly consistent; a write may ask that nothing be there, or a certain version.

A list comes in pages of any size up to what was asked for. The last write of an object stands, however late it arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from stepwell.testing.simulated.aws import Answer, Arguments, Codes, error
from stepwell.testing.simulated.schedule import World

S3_READS = frozenset({"get_object", "head_object", "list_objects_v2"})
S3_CODES = Codes(("SlowDown",), ("SlowDown", "OperationAborted", "ConditionalRequestConflict"), "InternalError")
PAGE_MAX = 1000


class Object(NamedTuple):
    """An object: its bytes, its version, its metadata."""

    body: bytes
    etag: str
    metadata: dict[str, str]


class SimulatedS3:
    """One bucket."""

    def __init__(self, world: World) -> None:
        self._random = world.random
        self._versions = 0
        self.stored: dict[str, Object] = {}

    @property
    def objects(self) -> dict[str, bytes]:
        """The bytes of each object."""
        return {key: found.body for key, found in self.stored.items()}

    def apply(self, operation: str, arguments: Arguments, calm: bool) -> Answer | ClientError:
        """What the service does at one moment."""
        act: Callable[[Arguments], Answer | ClientError] = getattr(self, f"_{operation}")
        return act(arguments)

    def _put_object(self, arguments: Arguments) -> Answer | ClientError:
        return self._refusal(arguments) or self._put(arguments["Key"], arguments["Body"], arguments.get("Metadata", {}))

    def _refusal(self, arguments: Arguments) -> ClientError | None:
        found = self.stored.get(arguments["Key"])
        if "IfNoneMatch" in arguments and found is not None:
            return error("PreconditionFailed", 412)
        if "IfMatch" in arguments and found is None:  # servers differ
            return self._random.choice((error("NoSuchKey", 404), error("PreconditionFailed", 412)))
        if "IfMatch" in arguments and found is not None and found.etag != arguments["IfMatch"]:
            return error("PreconditionFailed", 412)
        return None

    def _put(self, key: str, body: bytes, metadata: dict[str, str]) -> Answer:
        self._versions += 1
        self.stored[key] = Object(body, f'"{self._versions}"', metadata)
        return {"ETag": self.stored[key].etag}

    def _get_object(self, arguments: Arguments) -> Answer | ClientError:
        found = self.stored.get(arguments["Key"])
        if found is None:
            return error("NoSuchKey", 404)
        if found.etag == arguments.get("IfNoneMatch"):
            return error("304", 304)
        return {"Body": found.body, "ETag": found.etag, "Metadata": found.metadata}

    def _head_object(self, arguments: Arguments) -> Answer | ClientError:
        found = self.stored.get(arguments["Key"])
        return error("404", 404) if found is None else {"ETag": found.etag, "Metadata": found.metadata}

    def _copy_object(self, arguments: Arguments) -> Answer | ClientError:
        source = self.stored.get(arguments["CopySource"]["Key"])
        if source is None:
            return error("NoSuchKey", 404)
        return self._refusal(arguments) or self._put(arguments["Key"], source.body, source.metadata)

    def _delete_object(self, arguments: Arguments) -> Answer:
        self.stored.pop(arguments["Key"], None)
        return {}

    def _delete_objects(self, arguments: Arguments) -> Answer:
        for one in arguments["Delete"]["Objects"]:
            self.stored.pop(one["Key"], None)
        return {}

    def _list_objects_v2(self, arguments: Arguments) -> Answer:
        begin = arguments.get("ContinuationToken") or arguments.get("StartAfter") or ""
        found = self._groups(arguments["Prefix"], arguments.get("Delimiter"))
        left = [name for name in sorted(found) if name > begin]
        size = 1 + self._random.randrange(min(arguments.get("MaxKeys", PAGE_MAX), 4))
        page = left[:size]
        answer: Answer = {
            "Contents": [{"Key": name} for name in page if not found[name]],
            "CommonPrefixes": [{"Prefix": name} for name in page if found[name]],
            "IsTruncated": len(left) > size,
        }
        return answer | ({"NextContinuationToken": page[-1]} if answer["IsTruncated"] else {})

    def _groups(self, prefix: str, delimiter: Any) -> dict[str, bool]:
        """Names below *prefix*, cut behind the delimiter; whether each was cut."""
        found: dict[str, bool] = {}
        for name in self.stored:
            if name.startswith(prefix):
                head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name[len(prefix) :], "", "")
                found[prefix + head + cut] = bool(cut)
        return found

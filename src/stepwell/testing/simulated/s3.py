"""S3 as its documentation has it, as far as blobs need it: strongly consistent; a put may ask that nothing be there.

A list comes in pages of any size up to what was asked for. The last write of an object stands, however late it arrives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from stepwell.testing.simulated.aws import Answer, Arguments, Codes, error
from stepwell.testing.simulated.schedule import World

S3_READS = frozenset({"get_object", "head_object", "list_objects_v2"})
S3_CODES = Codes(("SlowDown",), ("SlowDown", "OperationAborted", "ConditionalRequestConflict"), "InternalError")
PAGE_MAX = 1000


class SimulatedS3:
    """One bucket."""

    def __init__(self, world: World) -> None:
        self._random = world.random
        self.objects: dict[str, bytes] = {}
        self._metadata: dict[str, dict[str, str]] = {}

    def apply(self, operation: str, arguments: Arguments, calm: bool) -> Answer | ClientError:
        """What the service does at one moment."""
        act: Callable[[Arguments], Answer | ClientError] = getattr(self, f"_{operation}")
        return act(arguments)

    def _put_object(self, arguments: Arguments) -> Answer | ClientError:
        key = arguments["Key"]
        if "IfNoneMatch" in arguments and key in self.objects:
            return error("PreconditionFailed", 412)
        self.objects[key], self._metadata[key] = arguments["Body"], arguments.get("Metadata", {})
        return {}

    def _get_object(self, arguments: Arguments) -> Answer | ClientError:
        key = arguments["Key"]
        if key not in self.objects:
            return error("NoSuchKey", 404)
        return {"Body": self.objects[key], "Metadata": self._metadata[key]}

    def _head_object(self, arguments: Arguments) -> Answer | ClientError:
        key = arguments["Key"]
        return {"Metadata": self._metadata[key]} if key in self.objects else error("404", 404)

    def _copy_object(self, arguments: Arguments) -> Answer | ClientError:
        source, key = arguments["CopySource"]["Key"], arguments["Key"]
        if source not in self.objects:
            return error("NoSuchKey", 404)
        self.objects[key], self._metadata[key] = self.objects[source], self._metadata[source]
        return {}

    def _delete_object(self, arguments: Arguments) -> Answer:
        self.objects.pop(arguments["Key"], None)
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
        for name in self.objects:
            if name.startswith(prefix):
                head, cut, _ = name[len(prefix) :].partition(delimiter) if delimiter else (name[len(prefix) :], "", "")
                found[prefix + head + cut] = bool(cut)
        return found

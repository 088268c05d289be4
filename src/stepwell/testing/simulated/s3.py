"""S3 as its documentation has it: strongly consistent; a write may ask that nothing be there, or a certain version.

A list comes in pages of any size up to what was asked for. The last write of an object stands, however late it arrives,
and a condition is judged when it does. Beyond that:

- what is not there fails the condition of an overwrite as 404 or 412
- whoever sends a conditional write again by himself, as HTTP clients do, is refused by what the first attempt wrote
- an ETag is made from the bytes, so that the same bytes have the same, or is each version's own, as with a KMS key
- some objects of a `DeleteObjects` stay, or are gone all the same, and an error says which
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import md5
from typing import Any, NamedTuple

from botocore.exceptions import ClientError

from stepwell.testing.simulated.aws import Answer, Arguments, Codes, error
from stepwell.testing.simulated.schedule import World

S3_READS = frozenset({"get_object", "head_object", "list_objects_v2"})
S3_CODES = Codes(("SlowDown",), ("SlowDown", "OperationAborted", "ConditionalRequestConflict"), "InternalError")
PAGE_MAX = 1000


class Object(NamedTuple):
    """An object: its bytes, its version, its metadata, and the KMS key that it was written with."""

    body: bytes
    etag: str
    metadata: dict[str, str]
    key_arn: str | None = None


class SimulatedS3:
    """One bucket. *changes* is told of every object that is written, before it is."""

    def __init__(self, world: World, changes: Callable[[str, bytes], None] = lambda key, body: None) -> None:
        self._random = world.random
        self._changes = changes
        self._calm = False
        self._versions = 0
        self.stored: dict[str, Object] = {}
        self.sends_again = 0.0
        self.leaves = 0.0
        self.names_content = False
        self.short_pages = True

    @property
    def objects(self) -> dict[str, bytes]:
        """The bytes of each object."""
        return {key: found.body for key, found in self.stored.items()}

    def apply(self, operation: str, arguments: Arguments, calm: bool) -> Answer | ClientError:
        """What the service does at one moment; all of it where it is *calm*."""
        self._calm = calm
        act: Callable[[Arguments], Answer | ClientError] = getattr(self, f"_{operation}")
        return act(arguments)

    def _put_object(self, arguments: Arguments) -> Answer | ClientError:
        return self._refusal(arguments) or self._put(arguments, arguments["Body"], arguments.get("Metadata", {}))

    def _refusal(self, arguments: Arguments) -> ClientError | None:
        found = self.stored.get(arguments["Key"])
        if "IfNoneMatch" in arguments and found is not None:
            return error("PreconditionFailed", 412)
        if "IfMatch" in arguments and found is None:  # servers differ
            return self._random.choice((error("NoSuchKey", 404), error("PreconditionFailed", 412)))
        if "IfMatch" in arguments and found is not None and found.etag != arguments["IfMatch"]:
            return error("PreconditionFailed", 412)
        return None

    def _put(self, arguments: Arguments, body: bytes, metadata: dict[str, str]) -> Answer | ClientError:
        key = arguments["Key"]
        self._changes(key, body)
        self._versions += 1
        etag = md5(body, usedforsecurity=False).hexdigest() if self.names_content else f"{self._versions:032x}"
        self.stored[key] = Object(body, f'"{etag}"', metadata, arguments.get("SSEKMSKeyId"))
        again = self._happens(self.sends_again) and self._refusal(arguments)
        encrypted = {"ServerSideEncryption": "aws:kms"} if "SSEKMSKeyId" in arguments else {}
        return again or {"ETag": self.stored[key].etag, **encrypted}

    def _happens(self, chance: float) -> bool:
        return chance > 0 and not self._calm and self._random.random() < chance

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
        return self._refusal(arguments) or self._put(arguments, source.body, source.metadata)

    def _delete_object(self, arguments: Arguments) -> Answer:
        self.stored.pop(arguments["Key"], None)
        return {}

    def _delete_objects(self, arguments: Arguments) -> Answer:
        errors: list[Answer] = []
        for one in arguments["Delete"]["Objects"]:
            code = self._random.choice(("SlowDown", "InternalError", "")) if self._happens(self.leaves) else ""
            if code:
                errors.append({"Key": one["Key"], "Code": code, "Message": "simulated"})
            if code != "SlowDown" and not (code and self._random.random() < 1 / 2):  # of the other, nobody knows
                self.stored.pop(one["Key"], None)
        return {"Errors": errors} if errors else {}

    def _list_objects_v2(self, arguments: Arguments) -> Answer:
        begin = arguments.get("ContinuationToken") or arguments.get("StartAfter") or ""
        found = self._groups(arguments["Prefix"], arguments.get("Delimiter"))
        left = sorted([name for name in found if name > begin])
        size = arguments.get("MaxKeys", PAGE_MAX)
        if self.short_pages:
            size = 1 + self._random.randrange(min(size, 4))
        page = left[:size]
        answer: Answer = {
            "Contents": [{"Key": name} for name in page if not found[name]],
            "CommonPrefixes": [{"Prefix": name} for name in page if found[name]],
            "IsTruncated": len(left) > size,
        }
        return answer | ({"NextContinuationToken": page[-1]} if answer["IsTruncated"] else {})

    def _groups(self, prefix: str, delimiter: Any) -> dict[str, bool]:
        """Names below *prefix*, cut behind the delimiter; whether each was cut."""
        names = [name for name in self.stored if name.startswith(prefix)]
        if not delimiter:
            return dict.fromkeys(names, False)
        begin = len(prefix)
        cuts = [(name, name.find(delimiter, begin) + 1) for name in names]
        return {name[: cut or None]: bool(cut) for name, cut in cuts}

"""What an `s3:` URL and its caller say: `S3Options`; a bucket and where in it: `S3Place`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote

from stepwell.io.aws import Given

SEGMENT_BYTES = 128 * 1024
"""A PUT costs the same for 1 KB and for this, and takes about as long."""
SEGMENT_LEAST_BYTES, SEGMENT_MOST_BYTES = 4 * 1024, 1 << 20


@dataclass(frozen=True, slots=True)
class S3Place:
    """A bucket, and what the names of objects in it begin with: `prefix/`, or nothing where *prefix* is empty."""

    bucket: str
    prefix: str = ""

    @property
    def begin(self) -> str:
        """What every name begins with."""
        return f"{self.prefix}/" if self.prefix else ""


@lru_cache(maxsize=1024)
def quoted(name: str) -> str:
    """A tenant's or a list's folder: a slash in its name would nest one in another. Nothing for no name."""
    return f"{quote(name, safe='')}/" if name else ""


@dataclass(frozen=True, slots=True)
class S3Options:
    """A place in a bucket, and how to use it.

    *region* and *endpoint_url* are AWS's own configuration's where they are None. *segment_bytes* is how long segments
    get that this client begins. *kms_key_arn* encrypts what has no key of its own; without it, the bucket's default
    does. *tags* and *storage_class* are those of every object. *bucket_owner* is the account that must own the bucket.
    """

    place: S3Place
    region: str | None = None
    endpoint_url: str | None = None
    segment_bytes: int = SEGMENT_BYTES
    kms_key_arn: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    storage_class: str | None = None
    bucket_owner: str | None = None
    given: Given = field(default_factory=Given)

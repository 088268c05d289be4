"""What a `dynamodb:` URL and its caller say: `DynamoDBOptions`."""

from __future__ import annotations

from dataclasses import dataclass, field

from stepwell.io.aws import Given
from stepwell.stores.s3_options import S3Place


@dataclass(frozen=True, slots=True)
class DynamoDBOptions:
    """A table, and how to use it.

    *region* and *endpoint_url* are AWS's own configuration's where they are None. *create* makes the table when it is
    not there. *home_region* is the one region of a global table that is written to.
    """

    table: str
    region: str | None = None
    endpoint_url: str | None = None
    blobs: S3Place | None = None
    create: bool = False
    home_region: str | None = None
    given: Given = field(default_factory=Given)

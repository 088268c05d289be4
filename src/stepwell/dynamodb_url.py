"""`dynamodb://table?…` -> `DynamoDBOptions`."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from stepwell.aws_url import check_clients, endpoint, region, retention, s3_place
from stepwell.errors import InvalidRequest
from stepwell.ids import shown
from stepwell.io.aws import Given
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import check_table_name

OPTIONS = ("region", "endpoint_url", "ttl", "blobs", "create", "home_region")


def parse(rest: str, options: Mapping[str, str], given: Given | None = None) -> DynamoDBOptions:
    """What stands behind `dynamodb:`, and the options; *given* is what the caller brings along.

    Raises:
        InvalidRequest: something is malformed, or contradicts a client that was given; the message says what would be
            right.
    """
    if not rest.startswith("//"):
        raise InvalidRequest(f"url: {shown('dynamodb:' + rest)}; use dynamodb://table")
    if options.get("create", "0") not in ("0", "1"):
        raise InvalidRequest("url: create is 0 or 1")
    retention(options)
    parsed = DynamoDBOptions(
        table=check_table_name(unquote(rest[2:])),
        region=region(options),
        endpoint_url=endpoint(options),
        blobs=s3_place(options["blobs"], "blobs=") if "blobs" in options else None,
        create=options.get("create") == "1",
        home_region=region(options, "home_region"),
        given=given or Given(),
    )
    check_clients(
        parsed.given,
        "dynamodb",
        {"region": parsed.region, "endpoint_url": parsed.endpoint_url},
        besides=frozenset({"s3"} if parsed.blobs else ()),
        hint="dynamodb, and s3 with ?blobs=",
    )
    return parsed

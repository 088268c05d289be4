"""`s3://bucket/prefix?…` -> `S3Options`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import unquote

from stepwell.aws_url import check_clients, endpoint, region, retention, s3_place
from stepwell.errors import InvalidRequest
from stepwell.ids import shown
from stepwell.io.aws import Given
from stepwell.stores.kms import KEY_ARN
from stepwell.stores.s3_options import SEGMENT_BYTES, SEGMENT_LEAST_BYTES, SEGMENT_MOST_BYTES, S3Options

OPTIONS = ("region", "endpoint_url", "ttl", "segment", "kms_key_arn", "tags", "storage_class", "bucket_owner")
TAGS_MAX, TAG_MAX_CHARACTERS, TAG_VALUE_MAX_CHARACTERS = 10, 128, 256
"""S3's own limits for an object's tags."""
STORAGE_CLASSES = ("STANDARD", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "GLACIER_IR", "REDUCED_REDUNDANCY")
"""Those whose objects can be read at once."""

_OWNER = re.compile(r"[0-9]{12}")
_TAG = re.compile(r"[\w +\-=.:/@]*")


def parse(rest: str, options: Mapping[str, str], given: Given | None = None) -> S3Options:
    """What stands behind `s3:`, and the options; *given* is what the caller brings along.

    Raises:
        InvalidRequest: something is malformed, or contradicts a client that was given; the message says what would be
            right.
        NotSupported: a directory bucket.
    """
    retention(options)
    parsed = S3Options(
        place=s3_place("s3:" + unquote(rest), ""),
        region=region(options),
        endpoint_url=endpoint(options),
        segment_bytes=_segment(options.get("segment")),
        kms_key_arn=_key_arn(options.get("kms_key_arn")),
        tags=_tags(options.get("tags")),
        storage_class=_storage_class(options.get("storage_class")),
        bucket_owner=_owner(options.get("bucket_owner")),
        given=given or Given(),
    )
    asked = {"region": parsed.region, "endpoint_url": parsed.endpoint_url}
    check_clients(parsed.given, "s3", asked, besides=frozenset(), hint="s3")
    return parsed


def _segment(text: str | None) -> int:
    if text is None:
        return SEGMENT_BYTES
    if not re.fullmatch(r"[0-9]{1,9}", text) or not SEGMENT_LEAST_BYTES <= int(text) <= SEGMENT_MOST_BYTES:
        raise InvalidRequest(
            f"url: segment={shown(text)[1:-1]} is no number of bytes from {SEGMENT_LEAST_BYTES} to {SEGMENT_MOST_BYTES}"
        )
    return int(text)


def _key_arn(text: str | None) -> str | None:
    if text is not None and not KEY_ARN.fullmatch(text):
        raise InvalidRequest(
            f"url: kms_key_arn={shown(text)[1:-1]} is no ARN of a KMS key such as "
            "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
        )
    return text


def _tags(text: str | None) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in () if text is None else text.split(","):
        name, equals, value = tag.partition("=")
        fits = 0 < len(name) <= TAG_MAX_CHARACTERS and len(value) <= TAG_VALUE_MAX_CHARACTERS and name not in tags
        if not equals or not fits or not _TAG.fullmatch(name + value) or name.startswith("aws:"):
            raise InvalidRequest(f"url: tags={shown(text or '')[1:-1]}; tags look like tags=team=support,stage=prod")
        tags[name] = value
    if len(tags) > TAGS_MAX:
        raise InvalidRequest(f"url: tags names {len(tags)} of them; S3 allows {TAGS_MAX} for an object")
    return tags


def _storage_class(text: str | None) -> str | None:
    if text is not None and text not in STORAGE_CLASSES:
        raise InvalidRequest(f"url: storage_class={shown(text)[1:-1]}; use one of {', '.join(STORAGE_CLASSES)}")
    return text


def _owner(text: str | None) -> str | None:
    if text is not None and not _OWNER.fullmatch(text):
        raise InvalidRequest(f"url: bucket_owner={shown(text)[1:-1]} is no AWS account of 12 digits")
    return text

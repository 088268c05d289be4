"""KMS keys by their ARNs: `check_key_arn`. Errors: `InvalidRequest` says what is wrong with one."""

from __future__ import annotations

import re
from typing import Final

from stepwell.errors import InvalidRequest

KEY_ARN: Final = re.compile(r"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{12}:key/[a-zA-Z0-9-]{1,128}")


def check_key_arn(arn: str, region: str | None = None, *, of: str) -> str:
    """*arn*, if it is that of a KMS key, in *region* if that is given. *of* is what it encrypts, such as "table".

    Raises:
        InvalidRequest: it is not. An alias is refused: it may name another key later.
    """
    found = KEY_ARN.fullmatch(arn)
    if not found:
        raise InvalidRequest(
            f"kms_key_arn: {arn[:100]!a} is no key's ARN; it looks like arn:aws:kms:REGION:ACCOUNT:key/ID"
        )
    if region is not None and found[1] != region:
        raise InvalidRequest(f"kms_key_arn: the key is in {found[1]}, the {of} in {region}; give a key of that region")
    return arn

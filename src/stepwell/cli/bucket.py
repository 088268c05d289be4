"""The bucket of an `s3:` URL, for the commands that speak of it."""

from __future__ import annotations

from typing import Any

from stepwell.cli.patience import Outcome, Sleep, changes, partition, patiently
from stepwell.io.aws import Aws, AwsTarget
from stepwell.stores import s3_iam, s3_provision
from stepwell.stores.iam import Mode
from stepwell.stores.kms import check_key_arn
from stepwell.stores.s3_options import S3Options
from stepwell.stores.s3_provision import MAX_POLLS, POLL_SECONDS, Provisioned


class Bucket:
    """See `Provisioning`."""

    def __init__(self, options: S3Options) -> None:
        self._options = options

    def provisioned(self, kms_key_arn: str | None, *, as_json: bool) -> Outcome:
        """See `Provisioning`."""
        options = self._options

        async def attempt(aws: Aws, sleep: Sleep) -> Provisioned:
            return await s3_provision.provision(aws, options, kms_key_arn=kms_key_arn, sleep=sleep)

        target = AwsTarget("s3", options.region, options.endpoint_url)
        name = options.place.bucket
        found = patiently(target, f"bucket {name}", MAX_POLLS * POLL_SECONDS, attempt, as_json=as_json)
        state = found.state
        named = {"bucket": name, "prefix": options.place.prefix, "region": state.region}
        told = {"kms_key_arn": state.kms_key_arn, "versioned": state.versioned, "locked": state.locked}
        lines = [
            (f"S3 bucket {name} in {state.region} can be used", "green"),
            *changes(found.done, found.lacking),
            (f"  encrypted with {state.kms_key_arn or 'keys of S3'}", ""),
            *[(f"  {sentence}", "yellow") for sentence in found.remarks],
        ]
        lists = {"done": found.done, "lacking": found.lacking, "remarks": found.remarks}
        return Outcome(named | told | lists, lines)

    def template(self, kms_key_arn: str | None) -> dict[str, Any]:
        """See `Provisioning`."""
        return s3_provision.template(self._options, kms_key_arn)

    def policy(self, mode: Mode, kms_key_arn: str | None) -> dict[str, Any]:
        """See `Provisioning`."""
        region = self._options.region
        for key in (self._options.kms_key_arn, kms_key_arn):
            if key is not None:
                check_key_arn(key, region, of="bucket")
        return s3_iam.policy(self._options, mode, kms_key_arn=kms_key_arn, partition=partition(region))

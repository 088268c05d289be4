"""The table of a `dynamodb:` URL, for the commands that speak of it."""

from __future__ import annotations

from typing import Any

from stepwell.cli.patience import Outcome, Sleep, changes, partition, patiently
from stepwell.io.aws import Aws, AwsTarget
from stepwell.stores import dynamodb_iam, dynamodb_table
from stepwell.stores.dynamodb_options import DynamoDBOptions
from stepwell.stores.dynamodb_table import MAX_POLLS, POLL_SECONDS, Provisioned
from stepwell.stores.iam import Mode
from stepwell.stores.kms import check_key_arn


class Table:
    """See `Provisioning`."""

    def __init__(self, options: DynamoDBOptions) -> None:
        self._options = options

    def provisioned(self, kms_key_arn: str | None, *, as_json: bool) -> Outcome:
        """See `Provisioning`."""
        options = self._options

        async def attempt(aws: Aws, sleep: Sleep) -> Provisioned:
            return await dynamodb_table.provision(
                aws, options.table, kms_key_arn=kms_key_arn, home_region=options.home_region, sleep=sleep
            )

        target = AwsTarget("dynamodb", options.region, options.endpoint_url)
        seconds = MAX_POLLS * POLL_SECONDS
        found = patiently(target, f"table {options.table}", seconds, attempt, as_json=as_json)
        state = found.state
        named = {"table": options.table, "arn": state.arn, "region": state.region, "kms_key_arn": state.kms_key_arn}
        lines = [
            (f"dynamodb table {options.table} in {state.region} can be used", "green"),
            *changes(found.done, found.lacking),
            (f"  encrypted with {state.kms_key_arn or 'a key that AWS owns'}", ""),
        ]
        return Outcome(named | {"done": found.done, "lacking": found.lacking}, lines)

    def template(self, kms_key_arn: str | None) -> dict[str, Any]:
        """See `Provisioning`."""
        return dynamodb_table.template(self._options.table, kms_key_arn)

    def policy(self, mode: Mode, kms_key_arn: str | None) -> dict[str, Any]:
        """See `Provisioning`."""
        region = self._options.region
        key = None if kms_key_arn is None else check_key_arn(kms_key_arn, region, of="table")
        return dynamodb_iam.policy(self._options, mode, kms_key_arn=key, partition=partition(region))

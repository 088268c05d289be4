from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.aws.allowed import refused
from tests.aws.moto import ADAPTERS, REGION, Service, services


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    for name in (
        "AWS_PROFILE",
        "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_DYNAMODB",
        "AWS_ENDPOINT_URL_S3",
        "AWS_SESSION_TOKEN",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(params=ADAPTERS)
def service(request: pytest.FixtureRequest, credentials: None) -> Iterator[Service]:
    with services(request.param) as made:
        yield made
        assert outside_policy(made) == set()


@pytest.fixture
def alone(credentials: None) -> Iterator[Service]:
    """Where the adapter makes no difference."""
    with services("boto3") as made:
        yield made
        assert outside_policy(made) == set()


def outside_policy(service: Service) -> set[str]:
    """What the stores of a test did that `stepwell iam-policy` would not allow."""
    return {
        told
        for policy, calls in service.opened
        for operation, arguments in calls
        for told in refused(policy, operation, arguments, REGION)
    }

"""cfn-lint: what CloudFormation would say of a template."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from typing import Any

REGIONS = ["us-east-1", "eu-west-1", "us-gov-west-1", "cn-north-1"]


def complaints(template: str | Mapping[str, Any]) -> list[str]:
    """The errors and warnings of a template in JSON or YAML."""
    api: Any = import_module("cfnlint.api")  # it has no types
    text = template if isinstance(template, str) else json.dumps(template)
    return [str(match) for match in api.lint(text, config=api.ManualArgs(regions=REGIONS))]

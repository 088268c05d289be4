"""botocore's models of services, read once per process, however many clients it makes.

Reading them takes a tenth of a second of computing; a client that finds them read is made within some milliseconds.

MODELS    gives them to a session of botocore's
"""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from stepwell.io.fork import after_fork

_DATA = ("endpoints", "partitions", "sdk-default-configuration")
_OF_SERVICE = ("service-2", "endpoint-rule-set-1")
"""What botocore reads when it makes a client. What is missing here is read then, and holds up an event loop."""


class Models:
    """See the module."""

    def __init__(self) -> None:
        self._loaders: dict[str | None, Any] = {}
        self._forget()
        after_fork(self._forget)

    def _forget(self) -> None:
        self._reading = threading.Lock()

    def give(self, session: Any, service: str) -> None:
        """Let *session* find what a client of *service* needs read already."""
        path = session.get_config_variable("data_path")
        with self._reading:
            if path not in self._loaders:
                self._loaders[path] = _loader(path)
            loader = self._loaders[path]
            for name in _DATA:
                loader.load_data(name)
            for kind in _OF_SERVICE:
                loader.load_service_model(service, kind)
        session.register_component("data_loader", loader)


def _loader(path: str | None) -> Any:
    from botocore.loaders import create_loader

    loader: Any = create_loader(path)
    loader.file_loader = _PoliteReader()
    return loader


class _PoliteReader:
    """Reads botocore's models as its own reader does, only that other threads have their turns meanwhile.

    json reads a whole text without letting go of the interpreter, unless it calls a function on the way.
    """

    def exists(self, file_path: str) -> bool:
        """Whether there is such a model; the path lacks its suffix."""
        return any(Path(file_path + suffix).is_file() for suffix in _OPENED_BY)

    def load_file(self, file_path: str) -> Any:
        """The model, or None."""
        for suffix, opened in _OPENED_BY.items():
            if Path(file_path + suffix).is_file():
                with opened(file_path + suffix, "rb") as file:
                    return json.loads(file.read(), object_pairs_hook=_mapping)
        return None


_OPENED_BY: Mapping[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # A plain one is in order too, and where it holds nothing but texts the garbage collector passes it over.
    return dict(pairs)


MODELS = Models()

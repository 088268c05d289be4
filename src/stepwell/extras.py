"""Optional dependencies: asked for where they are used, so that their absence names the extra that brings them."""

from __future__ import annotations

from importlib import import_module

from stepwell.errors import NotSupported


def require(extra: str, *modules: str) -> None:
    """Make sure that *modules*, which come with *extra*, can be imported.

    Raises:
        NotSupported: one of them is not installed; the message says what to type.
    """
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            raise NotSupported(
                f"{module} is not installed; it comes with the extra {extra!r}: pip install 'stepwell[{extra}]'"
            ) from error

"""Where a command's sessions are: what to call the store, and whether there is one."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from stepwell import urls
from stepwell.errors import NotFound


def store_name(url: str | None, tenant: str | None) -> str:
    """The store in messages: its URL without options, or anything else that might be a secret, and the tenant."""
    whole, _, options = (urls.default_url() if url is None else url).partition("?")
    name = re.sub(r"//[^/@]*@", "//", whole)
    whose = tenant or next((unquote(one[7:]) for one in options.split("&") if one.startswith("tenant=")), None)
    return f"{name}, tenant {whose}" if whose and whose != urls.DEFAULT_TENANT else name


def folder_of(url: str | None) -> Path | None:
    """The folder that a URL names which was parsed before; None for a store of another kind."""
    scheme, _, rest = (urls.default_url() if url is None else url).partition(":")
    if scheme != "file":
        return None
    path = rest.partition("?")[0]
    if path.startswith("//"):
        path = "/" + path[2:].partition("/")[2]
    return Path(unquote(path)).expanduser()


def check_there(url: str | None, tenant: str | None) -> None:
    """Whether there is a store: no command makes one, lest a misspelt URL look like an empty store.

    Raises:
        NotFound: there is none.
    """
    folder = folder_of(url)
    if folder is not None and not folder.exists():
        raise NotFound(f"there is no store in {store_name(url, tenant)}")


def session_folder(url: str | None, session_id: str) -> Path | None:
    """The folder of a session, see docs/format.md, if the store is one of folders and it is there."""
    folder = folder_of(url)
    if folder is None:
        return None
    return next((folder / "sessions").glob(f"*/{session_id.replace('-', '')}"), None)

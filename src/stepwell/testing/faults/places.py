"""Where a program's own stores may lie."""

from __future__ import annotations

from pathlib import Path

_MEMORY = Path("/dev/shm")


def in_memory() -> str | None:
    """A folder in memory, or None, which means the usual one for temporary files."""
    return str(_MEMORY) if _MEMORY.is_dir() else None

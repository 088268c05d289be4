"""What a client asked for, and what it was told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["pending", "done", "refused", "unknown", "cut"]
"""cut: the caller was killed or cancelled, and was told nothing."""


@dataclass(slots=True, eq=False)
class Call:
    """One call. *invoked* and *returned* are steps of the schedule; *given* is what the checker needs of its arguments.

    *session* is the id's text; for a call that makes one it is set when it was told.
    """

    number: int
    who: str
    operation: str
    session: str | None
    given: dict[str, Any] = field(default_factory=dict[str, Any])
    invoked: int = 0
    returned: int | None = None
    invoked_at: int = 0
    told_at: int = 0
    """The world's time when it was invoked, and when it returned."""
    latest: int = 0
    """The latest time that its caller may have believed it to be."""
    outcome: Outcome = "pending"
    value: Any = None
    error: BaseException | None = None

    @property
    def reason(self) -> str:
        """A text that no other call has."""
        return f"#{self.number}"

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value}" for name, value in self.given.items() if name != "texts")
        told = f"{type(self.error).__name__}: {self.error}" if self.error else ""
        return f"#{self.number} {self.operation}({(self.session or '')[-6:]}; {given}) -> {self.outcome} {told}"

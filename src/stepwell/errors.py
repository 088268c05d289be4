"""Every error that Stepwell raises, by what it means for the caller and never by vendor.

    StepwellError
    ├── NotFound            no such session, invocation, step or key; another tenant's looks the same
    ├── Conflict            the state of the session forbids it
    │   ├── AlreadyExists   the id or key is taken by something else
    │   ├── SessionEnded    nothing can be added to an ended session
    │   ├── SessionExpired  idle for longer than the session allows
    │   ├── Fenced          somebody took a newer lease
    │   └── HeadMoved       another writer's event lies behind the position in `if_head`
    ├── InvalidRequest      an argument is malformed; the message names the field
    ├── LimitExceeded       a named limit; the message names the field and the limit
    ├── PermissionDenied    the store refuses this user
    ├── Throttled           nothing was written; try later (retryable)
    ├── Unavailable         nothing was written; the store cannot do it now (retryable unless it says otherwise)
    ├── OutcomeUnknown      the write may or may not be durable; `client.resolve(error.token)` settles it
    ├── CorruptJournal      stored bytes are not what was written; the message names the place
    ├── StaleStore          something that was seen is gone: the store was restored or cut from outside
    └── NotSupported        this store, platform or version cannot do it; the message names what can

Messages never hold payloads or tokens. The error of a lower layer is `__cause__`.
"""

from __future__ import annotations


class StepwellError(Exception):
    """The root. *operation* is the client's method; *session_id* and its kin are None when they do not apply."""

    _retryable = False

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None = None,
        invocation_id: str | None = None,
        invocation_step_id: str | None = None,
        retryable: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.operation: str | None = None
        self.session_id = session_id
        self.invocation_id = invocation_id
        self.invocation_step_id = invocation_step_id
        if retryable is not None:
            self._retryable = retryable

    @property
    def retryable(self) -> bool:
        """Whether the same call may succeed later without a change."""
        return self._retryable


class NotFound(StepwellError):
    """No such session, invocation, step or key for this tenant."""


class Conflict(StepwellError):
    """The state of the session forbids the operation."""


class AlreadyExists(Conflict):
    """The id or the key is already taken by something else."""


class SessionEnded(Conflict):
    """The session was ended: it can be read and forked, not written."""


class SessionExpired(Conflict):
    """The session was idle for longer than it allows: it can be read and forked, not written."""


class Fenced(Conflict):
    """Another handle took a newer lease: stop writing, or take the lease again."""


class HeadMoved(Conflict):
    """Another handle wrote behind the position in `if_head`: read on from there, then decide again."""


class InvalidRequest(StepwellError):
    """An argument is malformed."""


class LimitExceeded(StepwellError):
    """An argument or the session is beyond a named limit."""


class PermissionDenied(StepwellError):
    """The store refuses this user, or is not safe to use as this user."""


class Throttled(StepwellError):
    """The store asks for a pause; nothing was written. *retry_after* is in seconds, if the store said so."""

    _retryable = True
    retry_after: float | None = None


class Unavailable(StepwellError):
    """The store cannot do it now; nothing was written."""

    _retryable = True


class OutcomeUnknown(StepwellError):
    """The write may or may not be durable. Pass *token* (opaque, safe to persist) to `client.resolve`."""

    def __init__(self, message: str, *, token: str = "", session_id: str | None = None) -> None:
        super().__init__(message, session_id=session_id)
        self.token = token


class CorruptJournal(StepwellError):
    """Stored bytes are not what was written. *slot* and *offset* (bytes) name the place where they are known."""

    def __init__(
        self,
        message: str,
        *,
        session_id: str | None = None,
        slot: int | None = None,
        offset: int | None = None,
    ) -> None:
        super().__init__(message, session_id=session_id)
        self.slot = slot
        self.offset = offset


class StaleStore(StepwellError):
    """A slot that was seen is gone: the store was restored from a backup or cut from outside."""


class NotSupported(StepwellError):
    """This store, platform or version cannot do it."""

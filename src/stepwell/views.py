"""Journal facts as the models that callers see."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import ormsgpack

from stepwell.errors import InvalidRequest
from stepwell.ids import session_arn, shown, uuid_text
from stepwell.journal.decide import status_at
from stepwell.journal.events import Attributes, Place
from stepwell.journal.record import Facts, Status
from stepwell.models import Position, Session, SessionStatus, SessionSummary
from stepwell.stores.base import ListingEntry

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_DIGITS_MAX = 10
_EXACT_BELOW = 1 << 51  # of microseconds: until 2041 a float of seconds holds them exactly
_STATUS: dict[Status, SessionStatus] = {
    Status.ACTIVE: "ACTIVE",
    Status.EXPIRED: "EXPIRED",
    Status.ENDED: "ENDED",
}


def moment(microseconds: int) -> datetime:
    """A stored time."""
    if microseconds < _EXACT_BELOW:
        return datetime.fromtimestamp(microseconds / 1e6, UTC)
    return _EPOCH + timedelta(microseconds=microseconds)


def microseconds(field: str, time: datetime) -> int:
    """A time to store; a naive one is UTC, as the AWS SDK for Python takes it.

    Raises:
        InvalidRequest: it is no time, or before 1970.
    """
    if not isinstance(time, datetime):
        raise InvalidRequest(f"{field}: expected a datetime, got {type(time).__name__}")
    try:
        aware = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    except OverflowError:
        raise InvalidRequest(f"{field}: beyond the year 9999 in UTC") from None
    if aware < _EPOCH:
        raise InvalidRequest(f"{field}: before 1970")
    return (aware - _EPOCH) // _MICROSECOND


def position(place: Place) -> Position:
    """A place as callers hold it."""
    return Position(f"{place.slot}.{place.at}")


def place(field: str, position: str) -> Place:
    """The place in a position.

    Raises:
        InvalidRequest: it is none.
    """
    slot, _, index = position.partition(".") if isinstance(position, str) else ("", "", "")
    if not all(part.isascii() and part.isdigit() and len(part) <= _DIGITS_MAX for part in (slot, index)):
        raise InvalidRequest(f"{field}: {shown(position)} is no position; use InvocationStep.position or Session.head")
    return Place(int(slot), int(index))


def session_view(facts: Facts, attributes: Attributes, tail: Place, now: int) -> Session:
    """A session as it is at *now*."""
    session_id = uuid_text(attributes.session)
    return Session(
        session_id=session_id,
        session_arn=session_arn(session_id),
        session_status=status_text(facts, now),
        created_at=moment(attributes.created_at),
        last_updated_at=moment(attributes.updated_at),
        last_activity_at=moment(facts.last_activity),
        metadata=attributes.metadata,
        tags=attributes.tags,
        key=attributes.key,
        encryption_key_arn=attributes.encryption_key_arn,
        expires_at=moment(facts.expires_at) if facts.expires_at else None,
        head=position(tail),
    )


def status_text(facts: Facts, now: int) -> SessionStatus:
    """The status by the clock, as callers see it."""
    return _STATUS[status_at(facts, now)]


def text_bytes(texts: Mapping[str, str]) -> int:
    """About how many bytes a map of texts takes in a record."""
    return sum(len(key.encode()) + len(value.encode()) + 10 for key, value in texts.items())


def listing_entry(facts: Facts, attributes: Attributes, now: int) -> ListingEntry:
    """What lists show of a session as it is at *now*."""
    status = status_at(facts, now)
    data = [
        int(status),
        attributes.created_at,
        attributes.updated_at,
        facts.expires_at,
        attributes.key,
        dict(attributes.tags),
        facts.purge_after,
    ]
    return ListingEntry(attributes.session, listing_version(facts, status), ormsgpack.packb(data))


def listing_version(facts: Facts, status: Status) -> int:
    """The version of the entry that shows a session as *facts* say, with this status."""
    # A later slot is newer; an expiry changes no attributes, yet it comes behind them.
    return 2 * facts.attributes_slot + (status is Status.EXPIRED)


def gone_entry(session: bytes) -> ListingEntry:
    """The entry of a session that was deleted: above every version."""
    return ListingEntry(session, (1 << 63) - 1, b"")


def listed_key(entry: ListingEntry) -> str | None:
    """The key that an entry tells; None where there is none, or where it is damaged."""
    try:
        return str(key) if entry.data and (key := ormsgpack.unpackb(entry.data)[4]) is not None else None
    except (ValueError, TypeError, IndexError):
        return None


def summary(entry: ListingEntry, now: int) -> SessionSummary | None:
    """A session as lists show it; None if it is gone.

    Raises:
        ValueError, TypeError: the entry is damaged.
    """
    if not entry.data:
        return None
    status, created_at, updated_at, expires_at, key, tags, purge_after = ormsgpack.unpackb(entry.data)
    if (expires_at and now >= expires_at) or (purge_after and now >= purge_after):
        return None
    session_id = uuid_text(entry.session)
    return SessionSummary(
        session_id=session_id,
        session_arn=session_arn(session_id),
        session_status=_STATUS[Status(status)],
        created_at=moment(created_at),
        last_updated_at=moment(updated_at),
        tags=tags,
        key=key,
        purge_after=moment(purge_after) if purge_after else None,
    )

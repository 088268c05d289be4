from pathlib import Path

import stepwell
from stepwell.blocking import run_sync
from stepwell.ids import uuid7
from stepwell.journal.events import Attributes
from stepwell.journal.state import blank
from stepwell.views import listing_entry
from tests.faults.counting import CountingFiles, QuickFiles, client_of, file_client, file_store

SESSIONS = 10_000


def fill(folder: Path) -> None:
    """Two real sessions, and before them the listing entries of many others, whose journals no list may miss."""
    store = file_store(folder, QuickFiles())
    facts = blank().facts
    for i in range(SESSIONS - 2):
        session = uuid7(1_600_000_000_000 + i, i.to_bytes(10, "big"))
        time = (1_600_000_000_000 + i) * 1000
        attributes = Attributes(session, time, time, f"INC-{i}", None, {}, {"team": "payments"})
        run_sync(store.put_entry("default", listing_entry(facts, attributes, time)))
    client = client_of(store)
    for key in ("INC-real-1", "INC-real-2"):
        client.create_session(key=key)
    client.close()


def test_the_first_page_among_ten_thousand_sessions_opens_no_journal_and_reads_only_its_own_entries(
    tmp_path: Path,
) -> None:
    fill(tmp_path / "store")
    files = CountingFiles()
    with file_client(tmp_path / "store", files) as client:
        page = client.list_sessions(max_results=10)
        assert [item.key for item in page.items[:4]] == ["INC-real-2", "INC-real-1", "INC-9997", "INC-9996"]
        assert len(page.items) == 10
        assert page.next_token is not None
        entries = {name: count for name, count in files.opened.items() if len(name) == 32}
        assert len(entries) <= 11
        assert files.opened["journal.log"] == 0
        first = next(iter(client.sessions(tags={"team": "payments"})))
        assert first.key == "INC-9997"
        assert files.opened["journal.log"] == 0


def test_a_session_that_is_read_is_a_journal_that_is_opened(tmp_path: Path) -> None:
    with stepwell.Client(f"file:{tmp_path / 'store'}") as client:
        session_id = client.create_session().session_id
    files = CountingFiles()
    with file_client(tmp_path / "store", files) as client:
        client.get_session(session_id)
    assert files.opened["journal.log"] > 0

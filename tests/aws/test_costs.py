"""What DynamoDB is asked to do for an append and for a resume, counted; units by its published rules."""

from __future__ import annotations

import json
import sys

import pytest

import stepwell
from benchmarks import dynamodb
from benchmarks.dynamodb import Blocks, Mark, Place, measure, prose_blocks, random_block
from benchmarks.local_dynamodb import Cost, local_client
from stepwell.stores.dynamodb_items import Item, binary, change_units, query_units, text


def cost(operation: str, *, written: int = 0, read: float = 0) -> tuple[int, int, float, tuple[str, ...]]:
    return 1, written, read, (operation,)


def told(taken: Cost) -> tuple[int, int, float, tuple[str, ...]]:
    return taken.requests, taken.written, taken.read, taken.operations


@pytest.fixture(scope="module", params=[random_block, prose_blocks()], ids=["random", "prose"])
def marks(request: pytest.FixtureRequest) -> dict[int, Mark]:
    """A session that grew to 1000 steps of 1 KB."""
    block: Blocks = request.param
    return {mark.steps: mark for mark in measure((1, 50, 300, 1000), block)}


def test_a_warm_append_is_one_put_of_two_units_at_any_length(marks: dict[int, Mark]) -> None:
    appends = [taken for mark in marks.values() for taken in mark.appends]
    assert {told(taken) for taken in appends} == {cost("put_item", written=2)}


def test_one_append_in_two_hundred_writes_the_index_with_it_and_asks_for_nothing_more(marks: dict[int, Mark]) -> None:
    with_run = [taken for mark in marks.values() for taken in mark.with_run]
    assert [told(taken) for taken in with_run] == [cost("put_item", written=units) for units in (4, 4, 9, 4)]


def test_a_cold_append_reads_the_head_and_at_most_one_interval_of_the_index(marks: dict[int, Mark]) -> None:
    for mark in marks.values():
        assert mark.cold.operations == ("query", "query", "put_item")
        assert mark.cold.written == 2
        assert mark.cold.read <= query_units([_item(256 * 1024 + 2048)], consistent=True) + 1
    assert marks[1].cold.read == 2


def test_a_resume_is_a_request_for_each_megabyte_and_one(marks: dict[int, Mark]) -> None:
    assert [mark.resume.operations for mark in marks.values()] == [
        ("query", "query"),
        ("query", "query"),
        ("query", "query"),
        ("query", "query", "query"),
    ]
    assert 1 << 20 < marks[1000].stored < 2 << 20
    for mark in marks.values():
        assert mark.resume.read * 4096 <= mark.stored + 4 * 4096


def test_a_resume_by_key_is_one_request_more(marks: dict[int, Mark]) -> None:
    for mark in marks.values():
        assert mark.by_key.operations == ("get_item", *mark.resume.operations)
        assert mark.by_key.read == mark.resume.read + 1


def test_an_append_behind_another_writers_is_one_request_more_and_no_read() -> None:
    place = Place()
    place.append("1")
    place.new_cost(lambda client: place.append("2", client))
    assert place.cost(lambda: place.append("3")).operations == ("put_item", "put_item")


def test_a_client_begins_with_one_look_at_the_table_which_costs_no_units() -> None:
    place = Place()
    place.append("1")
    with stepwell.Client("dynamodb://benchmark", boto3_client=local_client(place.table)) as client:
        first = place.cost(lambda: list(client.steps(place.session)))
        second = place.cost(lambda: list(client.steps(place.session)))
    assert first.operations == ("describe_table", *second.operations)
    assert (first.written, first.read) == (0, second.read)


def _item(size: int, **more: dict[str, str]) -> Item:
    """An item of so many bytes, but for what *more* takes."""
    return {"pk": text("p"), "sk": text("s"), "data": binary(bytes(size - 10)), **more}


IN_INDEX = {"tenant": text("t"), "session": text("s")}


@pytest.mark.parametrize(
    ("before", "after", "units"),
    [
        (None, _item(1024), 1),
        (None, _item(1025), 2),
        (_item(5000), _item(20), 5),
        (_item(5000), None, 5),
        (_item(5000), _item(5000), 5),
        (None, None, 1),
        (None, _item(900, **IN_INDEX), 2),
        (_item(900, **IN_INDEX), None, 2),
        (_item(900, **IN_INDEX), _item(20, **IN_INDEX), 1),
    ],
    ids=["a KB", "more", "the larger", "removed", "refused", "refused by nothing", "listed", "unlisted", "as listed"],
)
def test_write_units(before: Item | None, after: Item | None, units: int) -> None:
    assert change_units(before, after) == units


def test_read_units_are_of_a_querys_sum() -> None:
    items = [_item(1000)] * 9
    assert query_units(items, consistent=True) == 3
    assert query_units(items, consistent=False) == 1.5
    assert query_units([], consistent=True) == 1


def test_the_benchmark_prints_its_figures(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["dynamodb", "--json"])
    monkeypatch.setattr(dynamodb, "MARKS", (1, 4))
    monkeypatch.setattr(dynamodb, "CHAT_MARKS", (1,))
    dynamodb.main()
    figures = json.loads(capsys.readouterr().out)
    assert {row["met"] for row in figures["rows"] if "met" in row} == {True}

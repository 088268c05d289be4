"""The key index: a name of the caller's own for a session, replaced only by comparison."""

from __future__ import annotations

from stepwell.testing.bench import Stores

FIRST, SECOND, THIRD = b"1" * 16, b"2" * 16, b"3" * 16


async def an_unknown_key_names_nothing(stores: Stores) -> None:
    """Whether or not another key is known."""
    store = stores.open()
    assert await store.get_key("acme", "never set") is None
    await store.swap_key("acme", "set", FIRST, expected=None)
    assert await store.get_key("acme", "never set") is None


async def a_swap_from_what_the_key_names_succeeds(stores: Stores) -> None:
    """It answers what the key named before: what was expected."""
    store, other = stores.open(), stores.open()
    assert await store.swap_key("acme", "key", FIRST, expected=None) is None
    assert await other.get_key("acme", "key") == FIRST
    assert await other.swap_key("acme", "key", SECOND, expected=FIRST) == FIRST
    assert await store.get_key("acme", "key") == SECOND


async def a_swap_from_something_else_changes_nothing(stores: Stores) -> None:
    """It answers what the key names, which is not what was expected."""
    store = stores.open()
    assert await store.swap_key("acme", "key", FIRST, expected=SECOND) is None
    assert await store.get_key("acme", "key") is None
    await store.swap_key("acme", "key", FIRST, expected=None)
    assert await store.swap_key("acme", "key", THIRD, expected=None) == FIRST
    assert await store.swap_key("acme", "key", THIRD, expected=SECOND) == FIRST
    assert await store.get_key("acme", "key") == FIRST


async def keys_are_kept_apart_by_tenant(stores: Stores) -> None:
    """The same key of two tenants names two sessions, and no pair of names is taken for another."""
    store = stores.open()
    pairs = [("acme", "key"), ("other", "key"), ("acme/key", "x"), ("acme", "key/x"), ("Acme", "key")]
    for at, (tenant, key) in enumerate(pairs):
        assert await store.swap_key(tenant, key, bytes([at]) * 16, expected=None) is None
    assert [await store.get_key(*pair) for pair in pairs] == [bytes([at]) * 16 for at in range(len(pairs))]


async def keys_of_any_letters_are_kept_apart(stores: Stores) -> None:
    """Long ones, other scripts, composed and decomposed, upper and lower case, the separators of paths."""
    store = stores.open()
    keys = [
        *("a", "A", "a ", "a/b", "a//b", "a\\b", "a%2Fb", "~", "-", "$HOME", "CON", "key.key", "key.0"),
        *("\u00e9", "e\u0301", "\N{ROCKET}", "\u05e9\u05dc\u05d5\u05dd", "x" * 512, "x" * 511 + "y"),
        *("\N{ROCKET}" * 512, "\N{ROCKET}" * 511 + "r"),
    ]
    for at, key in enumerate(keys):
        assert await store.swap_key("acme", key, bytes([at]) * 16, expected=None) is None
    assert [await store.get_key("acme", key) for key in keys] == [bytes([at]) * 16 for at in range(len(keys))]

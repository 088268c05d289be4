"""What a session is, as pure code: no I/O, no clock, no randomness.

events.py   the closed set of events and their wire form
record.py   record <-> bytes: header, chain, payload area
index.py    where an id lies: the recent ones, and the runs of the index snapshots
state.py    fold(records) -> SessionState
decide.py   state + what a caller wants -> events, or why not
"""

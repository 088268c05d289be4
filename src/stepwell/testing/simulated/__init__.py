"""The parts of the simulator, see `stepwell.testing.simulate`.

schedule.py   the world: simulated time, processes, and which task runs next
faults.py     what goes wrong, and how often
stores.py     stores that such a world can hold
clients.py    what the clients of a schedule do
calls.py      what they asked for, and what they were told
chains.py     what was really written, slot by slot
history.py    whether the two agree
play.py       a whole schedule; its end: faults off, everything read and collected
"""

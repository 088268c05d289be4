"""What every client has to do on every backend: one behaviour a function, each given `Clients`.

sessions.py      create, open, get, update, delete; keys
status.py        the state machine: what is allowed ACTIVE, EXPIRED, ENDED and gone; expiry
invocations.py   invocations
steps.py         putting and getting steps, one or a batch; ids and times
reading.py       steps() in every order and part; tail
content.py       what a step is made of comes back as it was
lists.py         pages, newest first, and their tokens; filters
tags.py          tags
tenants.py       another tenant's sessions look as if they did not exist
writers.py       if_head, leases, races
forks.py         forks
limits.py        each limit at its value and one above
operations.py    the operations by name, and a session to try them on
requests.py      malformed arguments; session ARNs; ping
"""

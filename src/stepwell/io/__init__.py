"""The only code that touches the world: clock, randomness, tasks, files, and the retry policy.

ports.py     what the rest may ask of the world
blocking.py  threads: nothing here ever suspends, which is what lets the sync client drive the async text
aio.py       asyncio; blocking work runs in a bounded pool of threads
files.py     system calls on files
retry.py     when to try again
"""

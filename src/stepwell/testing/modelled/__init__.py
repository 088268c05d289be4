"""Programs of client operations beside a reference that is too small to be wrong.

reference   sessions as plain lists and dicts: what is refused, and what is there
faulty      a store that loses a request or a reply, kills its client, or freezes it; and the clocks
world       clients on one store, each call made and compared with the reference
machine     the rules from which hypothesis makes programs
"""

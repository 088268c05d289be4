"""What `stepwell.testing.powerloss` is made of.

expected    sessions as their writer was told they are
watched     which of the rare calls of its store is under way
program     a random program of client operations, cut short anywhere
check       whether a new client on what is left finds what was promised
"""

"""What `stepwell.testing.powerloss` is made of.

expected    sessions as their writer was told they are
program     a random program of client operations, cut short anywhere
check       whether a new client on what is left finds what was promised
"""

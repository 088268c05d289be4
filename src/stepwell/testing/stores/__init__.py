"""What every `JournalStore` has to do: one behaviour a function, each given `Stores`.

journals.py   slots: written once, dense, in order; reading them back
races.py      of several writers, one wins
blobs.py      payloads beside a journal
keys.py       the key index
entries.py    what lists show; and the store itself
records.py    records to write
"""

"""Content blocks <-> what a journal stores of them."""

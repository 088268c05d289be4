"""Stores: whatever can compare and append. A new one is one file that implements `base.JournalStore`."""

"""Disks that fail, and what a client makes of them."""

"""Losses: one file each, and their table."""

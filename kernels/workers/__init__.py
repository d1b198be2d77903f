"""Threads: how many, the team and its barriers, and the pace at which a team works."""

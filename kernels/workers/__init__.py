"""Threads.

threads.py  how many threads a piece of work gets, and when it must be one
region.py   the one parallel region
crew.py     who works together, and shares of the work
atomic.py   atomic numbers, a pause, a clock
team.py     threads that take the steps of a call together, and their barriers
pace.py     how many of them take part in a step: measured
"""

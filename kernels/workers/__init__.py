"""Threads.

threads.py     how many threads a piece of work gets
cpus.py        how many CPUs the process may use
pool.py        the workers: threads that wait for work, park, wake, and end with the process
state.py       what they share with the callers
region.py      work in parts that workers claim
crew.py        who works together, and shares of the work
atomic.py      atomic numbers, a pause, a clock
float_mode.py  denormal numbers count as zero
team.py        threads that take the steps of a call together, and their barriers
pace.py        how many of them take part in a step: measured
neighbours.py  whether other processes keep the cores busy
"""

"""`fastfnn bench --neighbours`: what calls take while other processes want the same cores.

    calls.py      what is timed: short calls of the API, and the peers that can do the same
    states.py     the company that a call has: none, a busy process, training, a limit of one CPU
    confined.py   starts a worker inside such a limit; quota.py makes the control group for it
    worker.py     a process with one library, or the busy process itself
    runner.py     all states in turn, the libraries in turn in each, for some rounds
    verdict.py    what a call may take beside others, and which calls take more
    report.py     the table
    command.py    the options of the command

Peers are those of fastfnn/bench, PyTorch by eager_torch_peer.py.
"""

"""`fastfnn bench`: this package's speed beside that of others, on the user's own machine.

    cases.py      what is measured: networks, data, arithmetic, the losses that every library must reach
    peer.py       what a library has to offer to be measured
    ours.py numpy_peer.py notes_peer.py torch_peer.py jax_peer.py sklearn_peer.py
    worker.py     a process with one library in it
    runner.py     one worker for each library, one of them at work at a time, in turn, round after round
    report.py     the table and the chart

`import fastfnn` imports none of this, and each library is imported in its worker only.
"""

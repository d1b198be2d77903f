"""`fastfnn bench`: the speed of this package and of other libraries, on the user's own machine.

    cases.py      what is measured: networks, data, operation counts, and the losses that every library must reach
    peer.py       what a library must offer to be measured
    ours.py numpy_peer.py notes_peer.py torch_peer.py jax_peer.py sklearn_peer.py onnx_peer.py
    worker.py     a process with one library
    child.py      the pipes between such a process and its parent
    runner.py     one worker for each library; one of them works at a time, in turn, for some rounds
    report.py     the table and the chart
    neighbours/   the same for short calls while other processes want the same cores
    tabular/      scores and times on tables

`import fastfnn` imports none of this, and only its worker imports a library.
"""

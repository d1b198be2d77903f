"""Networks for tables: embeddings of the features, and members that share their weights.

    records.py      what a network for tables has besides its layers
    layout.py       where its parameters and buffers are
    embedding.py    features become numbers, and the gradient of their tables
    scales.py       the scales of the members, in both directions
    members.py      samples through all members, and back
    gradient.py     the gradient of the parameters, once samples have gone through
    step.py         a training step
    workspace.py    the memory of a call
    prediction.py   predictions
    calls.py        the public calls

The members are multilayer perceptrons; in the other folders of the kernels, members are the threads of a team. Row
i M + m of a buffer belongs to member m of sample i, so that one product with a shared W serves all members, and the
samples of a thread are rows that follow one another. The M members of TabM-mini differ in the scales of their inputs
and in their heads; those of TabM have scales and biases in each layer. Their mathematics is in the twin,
fastfnn/reference/tabular.py.
"""

"""Training: how a minibatch becomes an update of the weights.

One step of minibatch gradient descent, for a batch of B samples x with targets t:

    choose    which B samples: their addresses go into a list, they are not copied (batch.py)
    forward   x_l = f_l(x_{l-1} W_l + b_l), layer by layer (passes.py, by network/forward.py)
    loss      E = 1/B sum_i E_i, and dE/du of the last layer (passes.py, by elementwise/losses/)
    backward  delta_l = f_l'(u_l) * (delta_{l+1} W_{l+1}^T), down to the first layer (passes.py, by network/backward.py)
    update    dE/dW_l = x_{l-1}^T delta_l and dE/db_l, and the optimizer's rule with them (update.py)

The first four need only the samples themselves, so each thread does them for its own share of the batch. The gradient
of a weight is a sum over all samples, so the threads meet before the update, where each takes a share of the weights.

Read the files in this order:

    calls.py         network_gradient, network_update and train_steps, which Python calls
    workspace.py     the memory of a call, laid out once for all calls of the same shapes
    job.py           the record that describes a call
    run.py           the arrays of a call enter the job; threads form a team and take its steps
    batch_step.py    one step, as above
    passes.py, batch.py, squares.py, update.py    its parts
    tall_step.py     a step on many samples of a small network, in blocks that stay in a cache
    update_step.py   a step whose gradient is given
    sample_steps.py  steps on one sample each, which share a pass over the first W
"""

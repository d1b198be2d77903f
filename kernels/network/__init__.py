"""Whole networks: what a layer is to compiled code, and the two passes through all layers.

layers.py      records with named fields: Network and Layer
arena.py       memory of a call, laid out by one function from which its size follows
layout.py      the records, buffers and lists of a network in that memory
kept.py        what is kept for the next call
division.py    who computes what: how threads divide a layer
forward.py     the forward pass
normalized.py  batch normalization between barriers
backward.py    back-propagation, and the gradients that follow from the deltas
prediction.py  outputs, and their loss, of any number of rows; prediction_calls.py: the public calls
"""

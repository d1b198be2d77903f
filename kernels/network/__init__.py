"""Whole networks: records of layers, who computes what, forward, backward, prediction."""

"""Activations: one file each, their table, the kernels that apply one by its code, and a user's own."""

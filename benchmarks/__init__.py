"""The asv suite: how fast the kernels, the main job and the import are."""

"""Matrix products: the register tile, panels and packing, the drivers, and the affine map."""

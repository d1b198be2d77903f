"""Matrix products of layers, and the public affine kernels.

operands.py     what a product is given: factors, size, epilogue, scaling
panels.py       panels of columns and tiles of rows, as tables for this processor
tile.py         the register tile (BLIS: micro-kernel)
transpose.py    squares transposed in registers
packing.py      where the panel of the right factor lies that tiles read
narrow.py       the last columns, where a tile would be mostly empty
multiply.py     the driver
few_rows.py     products of so few rows that they take as long as reading W
column_sums.py  sums over rows: gradients of biases
one_row.py      products with one sample
affine.py       affine_forward and affine_backward
"""

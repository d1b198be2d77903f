"""Update rules of the optimizers: one file a family, and their table."""

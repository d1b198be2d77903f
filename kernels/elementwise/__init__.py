"""Work on single elements: elementary functions, activations, dropout, batch normalization, losses, update rules."""

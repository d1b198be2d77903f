"""Networks for tables: embeddings of features, and members that share their weights."""

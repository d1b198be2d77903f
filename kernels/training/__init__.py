"""Training: the job, its workspace, batches, updates, and the forms of a step."""

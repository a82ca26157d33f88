"""What is done to a model while it answers, without changing its weights."""

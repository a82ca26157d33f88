"""What step kinds share: how models refer to their parts, what enters keys, text as lines."""

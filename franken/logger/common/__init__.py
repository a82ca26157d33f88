"""What loggers share."""

"""What helper models share: text as training sequences, and rows that no text trained."""

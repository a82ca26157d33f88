"""What initialisers need beside the two vocabularies, and which step of a recipe makes it."""

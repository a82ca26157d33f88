"""What options of word vectors share: a space, its files, rotations, and text cut to pieces."""

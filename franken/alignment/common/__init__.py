"""What aligners share: text as numbers, links, tables of word pairs and their files."""

"""The result of a study as words, numbers and files."""

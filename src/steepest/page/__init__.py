"""A self-contained page in the project's one look: figures, tables, words, light and dark, on paper and live."""

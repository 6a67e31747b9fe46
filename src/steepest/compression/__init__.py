"""Networks made small: pruned, held to three values layer by layer, and written to a file that is small."""

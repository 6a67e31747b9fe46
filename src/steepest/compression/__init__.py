"""Networks made small: pruned, collapsed to three values a layer, and written to a file that is as small as it says."""

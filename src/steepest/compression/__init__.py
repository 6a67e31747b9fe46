"""Networks made small: most weights zero, the rest of two values for each layer."""

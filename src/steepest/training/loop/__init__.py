"""The loop of one run: batches, gradients, steps, evaluation, what is measured beside it, its checkpoint."""

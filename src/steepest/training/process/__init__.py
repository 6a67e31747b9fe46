"""The process that a run happens in: its state, its random numbers, the ranks beside it."""

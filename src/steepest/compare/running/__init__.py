"""What happens while a study runs: jobs, the processes that do them, and what is remembered."""

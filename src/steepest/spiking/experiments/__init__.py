"""What `steepest spiking` does, and its page."""

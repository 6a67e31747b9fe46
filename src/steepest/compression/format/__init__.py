"""The file of a compressed network: what it holds, written and read."""

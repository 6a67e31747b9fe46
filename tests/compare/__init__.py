from pathlib import Path

TINY_FILE = Path(__file__).with_name("tiny.py")
"""Workloads and methods that take a moment, as a user's file has them."""

"""Workloads of what people have written for other trainers."""

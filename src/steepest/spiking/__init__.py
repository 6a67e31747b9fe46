"""Spiking features by STDP, classifiers on top of them, and learning one task after the other."""

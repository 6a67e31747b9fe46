"""Methods of others that people ask for: from torch, and from the packages of the extra ``steepest[methods]``."""

from steepest.training.builtin.peers.methods import PEERS

__all__ = ["PEERS"]

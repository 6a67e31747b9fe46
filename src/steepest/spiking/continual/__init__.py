"""Learning one task after the other without forgetting: penalties, output blocks, methods and workloads."""

from steepest.spiking.continual.blocks import ContinualNet, OutputBlocks
from steepest.spiking.continual.cost_per_synapse import CostPerSynapse
from steepest.spiking.continual.elastic import ElasticWeightConsolidation
from steepest.spiking.continual.synaptic_intelligence import SynapticIntelligence

__all__ = ["ContinualNet", "CostPerSynapse", "ElasticWeightConsolidation", "OutputBlocks", "SynapticIntelligence"]

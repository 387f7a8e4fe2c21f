"""Elastic networks: a residual network as a supernet whose subnets share its weights."""

from .extraction import extract
from .layers import Statistics
from .network import Cost, Elasticity, ElasticNetwork, Importance
from .space import DIMENSIONS, Dimension, Space, Subnet

__all__ = [
    "DIMENSIONS",
    "Cost",
    "Dimension",
    "ElasticNetwork",
    "Elasticity",
    "Importance",
    "Space",
    "Statistics",
    "Subnet",
    "extract",
]

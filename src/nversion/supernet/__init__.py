"""Supernets: trained by progressive shrinking, searched for subnets and for ensembles of them."""

from .examiner import Calibration, Examiner
from .shrink import SUPERNET, TrainedSupernet, calibrate, train_supernet
from .spec import SearchTable, SupernetSpec, read_spec

__all__ = [
    "SUPERNET",
    "Calibration",
    "Examiner",
    "SearchTable",
    "SupernetSpec",
    "TrainedSupernet",
    "calibrate",
    "read_spec",
    "train_supernet",
]

"""Synthetic chests: scans with their labels and reports, which stand in for patients' wherever those cannot be had."""

from .ct_rate_tree import write_ct_rate_tree
from .make import Phantom, make_phantom
from .rad_chestct_tree import write_rad_chestct_tree

__all__ = ["Phantom", "make_phantom", "write_ct_rate_tree", "write_rad_chestct_tree"]

"""N-version deep learning: measure, choose and train ensembles that do not fail together."""

from importlib.metadata import version

__version__ = version("nversion")

"""The time of a single example means nothing on a busy machine: the laws run without a deadline."""

from hypothesis import settings

settings.register_profile("ensembles", deadline=None)
settings.load_profile("ensembles")

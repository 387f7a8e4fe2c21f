"""Frost is drawn in the tests, whatever the user's environment says."""

import os

os.environ.pop("NVERSION_FROST", None)

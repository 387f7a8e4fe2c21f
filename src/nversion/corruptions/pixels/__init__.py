"""Arithmetic on pixels that corruptions share: the same bytes on every device and in every batch."""

"""Supernets: elastic networks, their files, and their training and search."""

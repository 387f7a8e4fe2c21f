"""Sections of the report: a topic a module, with the figures and tables that it shows."""

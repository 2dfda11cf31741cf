"""Integrations: one file for each framework, all recording requests by the same rules."""

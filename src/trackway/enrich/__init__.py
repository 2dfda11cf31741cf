"""Enrichment: pure steps that add to an event what follows from the facts it has."""

"""Samples to symptoms: numbered rules over event-time windows, per entity (pure)."""

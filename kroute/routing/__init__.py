"""Incident, ownership and policy to routes, urgency and automation verdict (pure)."""

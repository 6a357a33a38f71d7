"""Pollers: what kroute's collector would tell of the model, message by message, and how it arrives."""

"""Symptoms and topology to the fewest, likeliest causes that explain them (pure)."""

"""The long tier: what takes minutes or hours, by ``make soak``."""

"""Timeline cases: what is seen when, and what kroute must say of it, on virtual time and without a broker."""

"""Is a cluster ready to be routed for, and for automation? The evaluation matrix, each row with its evidence."""

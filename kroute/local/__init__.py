"""A real Kafka (and Connect) on this machine, a demo estate, and faults to inject."""

"""Kafka admin, Prometheus exposition and Connect REST to the input topics."""

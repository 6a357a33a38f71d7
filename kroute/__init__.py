"""kroute: one incident, three owners, for every trouble on a shared Kafka."""

__version__ = "0.1.0"

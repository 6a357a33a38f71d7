"""The types that cross Kafka; JSON Schema and AsyncAPI come from them (``kroute schema``)."""

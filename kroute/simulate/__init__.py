"""A simulated Kafka estate: physics of brokers, clients and Connect, faults as changes of that physics, and pollers.

It knows nothing of detectors or causes' symptoms: what a poll shows follows from rates, capacities, queues and offsets.
"""

"""What people's commands ask of kroute's own Kafka: rows, policy and controls, read and written. No Faust."""

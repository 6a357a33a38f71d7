"""What each process needs to be allowed on Kafka: one table, from which ACLs are printed and rights are checked."""

"""What would happen: one hypothetical incident, or a recording under another policy."""

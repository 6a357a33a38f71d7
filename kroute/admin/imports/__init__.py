"""Ownership rows from what teams already have: Backstage, Terraform, Strimzi. What cannot be mapped is told, not guessed."""

"""Ownership as code: a folder of YAML in, checked rows out, compared with the topic and applied to it."""

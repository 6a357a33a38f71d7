"""Hypotheses over time to incidents: settle, open, update, revise, merge, split, recover, resolve, reopen (pure)."""

"""How good the engine is, on recordings whose truth is known."""

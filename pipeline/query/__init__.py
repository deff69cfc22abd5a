"""A question in, a checked answer out. Read-only; no model, no table engine on the way."""

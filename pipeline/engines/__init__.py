"""Run a stage over shards: same interface, same rows, wherever it runs."""

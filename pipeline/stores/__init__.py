"""What is kept: evidence, facts, the catalog, the journal."""

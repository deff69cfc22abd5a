"""What is said: the data contracts, from which JSON Schema and Arrow schemas are generated."""

"""Model servers: own processes on loopback, started as `python -m workers.<kind>`, never imported by pipeline."""

"""What an operator reads: status, doctor, SQL."""

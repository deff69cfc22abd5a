"""What idle work may take of the machine, and how it is held to that."""

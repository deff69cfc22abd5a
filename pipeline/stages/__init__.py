"""One public pure function each: a batch in, a batch out. No storage, no network, no clock."""

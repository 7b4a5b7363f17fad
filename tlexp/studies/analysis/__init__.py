"""What the records of a study say, as numbers; no sentences for people."""

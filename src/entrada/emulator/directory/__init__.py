"""Who and what there is: records, the look-ups between them, and the files they come from."""

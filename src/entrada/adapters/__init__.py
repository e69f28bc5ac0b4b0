"""One thin module per framework: its requests to ours, our responses to its. No rules live here."""

"""What happened to people's access, who did it, and why: entries that nobody can change unnoticed."""

"""What happens in the browser: authorize, the pages, consent, signing out."""

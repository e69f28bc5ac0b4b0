"""The control API and its page, under `/_emulator/`."""

"""dstack: the plug-in by itself (test_unit_*), and in the real server of each supported version."""

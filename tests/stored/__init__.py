"""What released versions stored, opened by this one."""

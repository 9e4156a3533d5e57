"""What expires, and by which age."""

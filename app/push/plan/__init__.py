"""Archives and options -> a plan."""

"""Who may do what, as the guide has it in a table: every cell is tried."""

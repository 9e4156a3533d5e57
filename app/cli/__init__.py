"""The commands behind `tarmac`, each in its own file; they stand beside `main` at the outer edge."""

"""Ways of putting parts together beyond one body with one table."""

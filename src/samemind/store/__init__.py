"""A folder per artifact: recipes, leases, inventory, and what survives a kill."""

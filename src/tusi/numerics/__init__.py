"""Arrays in, arrays out: spot fits, sparse normal equations, symmetry; no domain types. Import the module you need."""

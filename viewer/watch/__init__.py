"""The page Watch: what its timeline and its player ask for, and where that is answered."""

"""Evidence packages: exports that anyone can check without this product, and that say where footage comes from."""

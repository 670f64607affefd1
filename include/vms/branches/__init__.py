"""Machines at branches: they do the near tasks of one site, and reach the centre by HTTPS alone."""

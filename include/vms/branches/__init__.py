"""Machines at branches that reach the centre by HTTPS alone: who they are, and what they may know and ask for."""

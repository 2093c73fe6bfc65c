"""The rules of the road: may this leave, and what must be taken out of it first."""

"""The consent rule: may this be told to that recipient, for this purpose, now."""

"""How a person or organization is reached: the medium, what it carries, and handing it over."""

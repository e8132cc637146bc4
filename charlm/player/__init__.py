"""A network as a page: its weights, and a player in plain JavaScript that lets it write in any browser."""

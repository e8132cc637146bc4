"""Speed of charlm side by side with its peers, every figure of a table measured in one run."""
